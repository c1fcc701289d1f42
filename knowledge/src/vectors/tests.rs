#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::cast_precision_loss, reason = "small numbers")]

use super::best::order;
use super::*;

/// Vectors of length 1 that look random, always the same ones for the same seed.
pub(crate) fn vectors(count: usize, dimensions: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut normal = || {
        // The sum of twelve even numbers is nearly normal.
        let sum: f32 = (0..12)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 40) as f32 / (1_u64 << 24) as f32
            })
            .sum();
        sum - 6.0
    };
    (0..count)
        .map(|_| unit(&(0..dimensions).map(|_| normal()).collect::<Vec<_>>()).unwrap())
        .collect()
}

/// Vectors around centers, as embeddings of texts about a number of topics are.
fn clustered(count: usize, dimensions: usize, seed: u64) -> Vec<Vec<f32>> {
    let centers = vectors(count.isqrt(), dimensions, seed);
    let noise = vectors(count, dimensions, seed + 1);
    let near = |(at, noise): (usize, &Vec<f32>)| {
        let center = &centers[at * 31 % centers.len()];
        let sum: Vec<f32> = center.iter().zip(noise).map(|(a, b)| a + 0.8 * b).collect();
        unit(&sum).unwrap()
    };
    noise.iter().enumerate().map(near).collect()
}

fn fresh(directory: &Path, dimensions: usize) -> Vectors {
    Vectors::open(directory, dimensions, Extent { generation: 0, rows: 0 }).unwrap()
}

fn every(rows: usize) -> Mask {
    let mut mask = Mask::none(rows);
    (0..rows).for_each(|row| mask.add(row));
    mask
}

fn brute(all: &[Vec<f32>], query: &[f32], count: usize, mask: &Mask) -> Vec<usize> {
    let mut rows: Vec<(f32, usize)> =
        all.iter().enumerate().map(|(row, vector)| (dot(query, vector), row)).collect();
    rows.retain(|(_, row)| mask.has(*row));
    rows.sort_unstable_by(order);
    rows.truncate(count);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn recall(all: &[Vec<f32>], queries: &[Vec<f32>], mask: &Mask) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let mut vectors = fresh(folder.path(), all[0].len());
    vectors.append(1, all).unwrap();
    vectors.commit();
    let mut found = 0;
    for query in queries {
        let truth = brute(all, query, 10, mask);
        let nearest = vectors.view().nearest(query, 10, mask);
        assert!(nearest.iter().all(|(row, _)| mask.has(*row)));
        assert!(nearest.is_sorted_by(|left, right| left.1 >= right.1));
        found += nearest.iter().filter(|(row, _)| truth.contains(row)).count();
    }
    found as f64 / (queries.len() * 10) as f64
}

#[test]
fn few_rows_are_found_exactly() {
    let all = vectors(1500, 100, 1);
    let mut mask = Mask::none(1500);
    (0..1500).filter(|row| row % 3 == 0).for_each(|row| mask.add(row));
    assert!(recall(&all, &vectors(30, 100, 2), &mask) > 0.999);
}

#[test]
fn of_many_rows_ninety_nine_in_a_hundred_are_found() {
    let mut all = clustered(12_100, 384, 3);
    let queries = all.split_off(12_000);
    let recall = recall(&all, &queries, &every(12_000));
    assert!(recall >= 0.99, "{recall}");
}

#[test]
fn vectors_without_any_structure_are_found_as_well() {
    let recall = recall(&vectors(8000, 384, 4), &vectors(50, 384, 5), &every(8000));
    assert!(recall >= 0.99, "{recall}");
}

#[test]
fn a_few_of_many_rows_are_found_exactly() {
    let mut mask = Mask::none(8000);
    (0..8000).filter(|row| row % 100 == 7).for_each(|row| mask.add(row));
    assert!(recall(&vectors(8000, 384, 6), &vectors(30, 384, 7), &mask) > 0.999);
}

#[test]
fn what_was_committed_is_there_when_opened_again_and_the_rest_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let all = vectors(2100, 64, 8);
    let mut written = fresh(folder.path(), 64);
    written.append(10, &all[..2000]).unwrap();
    written.commit();
    written.append(5000, &all[2000..]).unwrap();
    let before = written.view().nearest(&all[77], 5, &every(2000));
    drop(written);

    let opened = Vectors::open(folder.path(), 64, Extent { generation: 0, rows: 2000 }).unwrap();
    let view = opened.view();
    assert_eq!(view.rows(), 2000);
    assert_eq!(view.nearest(&all[77], 5, &every(2000)), before);
    assert_eq!(
        (view.id(77), view.row(87), view.row(9), view.row(2010)),
        (87, Some(77), None, None)
    );
    assert_eq!(view.exact(1999).as_ref(), Some(&all[1999]));
    assert_eq!(view.exact(2000), None);
}

#[test]
fn a_view_stays_as_it_was_while_rows_are_added_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let all = vectors(300, 64, 9);
    let mut written = fresh(folder.path(), 64);
    written.append(1, &all[..100]).unwrap();
    written.commit();
    let view = written.view().clone();
    written.append(101, &all[100..200]).unwrap();
    written.roll_back().unwrap();
    assert_eq!(written.rows(), 100);
    written.append(501, &all[200..]).unwrap();
    written.commit();
    assert_eq!((view.rows(), written.view().rows()), (100, 200));
    assert_eq!(written.view().nearest(&all[250], 1, &every(200))[0].0, 150);
    assert_eq!(written.view().row(551), Some(150));
}

#[test]
fn rewriting_keeps_the_numbers_of_chunks() {
    let folder = tempfile::tempdir().unwrap();
    let all = vectors(3000, 64, 10);
    let mut written = fresh(folder.path(), 64);
    written.append(1, &all).unwrap();
    written.commit();
    let mut keep = Mask::none(3000);
    (0..3000).filter(|row| row % 4 == 1).for_each(|row| keep.add(row));
    let other = written.rewrite(1, &keep).unwrap();
    assert_eq!(other.view().rows(), 750);
    assert_eq!((other.view().row(2), other.view().row(3)), (Some(0), None));
    assert_eq!(other.view().exact(1), written.view().exact(5));
    drop((written, other));
    let opened = Vectors::open(folder.path(), 64, Extent { generation: 1, rows: 750 }).unwrap();
    assert_eq!(opened.view().nearest(&all[9], 1, &every(750))[0].0, 2);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_shorter_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut written = fresh(folder.path(), 64);
    written.append(1, &vectors(10, 64, 11)).unwrap();
    drop(written);
    let error = Vectors::open(folder.path(), 64, Extent { generation: 0, rows: 11 }).unwrap_err();
    assert!(matches!(error, crate::Error::Damaged { .. }), "{error}");
}

#[test]
fn a_damaged_code_is_made_again_and_a_damaged_vector_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let all = vectors(20, 64, 12);
    let mut written = fresh(folder.path(), 64);
    written.append(1, &all).unwrap();
    written.commit();
    drop(written);
    let flip = |kind: &str, row: usize| {
        let path = folder.path().join(format!("vectors-0.{kind}"));
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() / 20 * row + 11;
        bytes[at] ^= 0x40;
        std::fs::write(&path, bytes).unwrap();
    };
    flip("codes", 3);
    flip("exact", 5);
    flip("codes", 7);
    flip("exact", 7);
    let opened = Vectors::open(folder.path(), 64, Extent { generation: 0, rows: 20 }).unwrap();
    let mut damaged = Vec::new();
    opened.check(|path, row| damaged.push((path.extension().unwrap().to_owned(), row))).unwrap();
    let expected = [("exact", 5), ("exact", 7), ("codes", 3), ("codes", 7)];
    assert_eq!(damaged, expected.map(|(kind, row)| (kind.into(), row)));

    let view = opened.view();
    for row in [3, 5] {
        let (found, similarity) = view.nearest(&all[row], 1, &every(20))[0];
        assert_eq!(found, row);
        assert!((similarity - 1.0).abs() < 0.02, "{similarity}");
    }
    assert_eq!(view.row(8), None);
    assert_eq!((view.row(7), view.row(9)), (Some(6), Some(8)));
    assert_eq!(view.exact(5), None);
}
