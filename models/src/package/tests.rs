//! Packages as they are made, and as somebody may send them who means harm.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use semver::Version;
use tandem_tests::gguf::with_bytes as model;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::unpack::{Package, unpack};
use super::write::{MODEL, write};
use super::*;
use crate::catalog::Catalog;
use crate::pull;

const MIB: usize = 1 << 20;
const MODEL_BYTES: usize = 3 * MIB + 5;

/// A folder with a model, and one for what is installed.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        fs::write(place.model(), model(MODEL_BYTES, 1)).unwrap();
        fs::create_dir(place.folder()).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn model(&self) -> PathBuf {
        self.path("source.gguf")
    }

    fn folder(&self) -> PathBuf {
        self.path("models")
    }

    fn describe(&self) -> Description {
        let entry = Catalog::shipped().entry("smollm2-135m-instruct").cloned();
        let version = Version::new(1, 2, 0);
        let template = Some("{{ messages }}".to_owned());
        let subject = Subject { id: "own".into(), version, file: self.model(), entry, template };
        describe(&subject, &mut |_| true).unwrap().unwrap()
    }

    fn pack(&self, name: &str, key: Option<&SigningKey>) -> PathBuf {
        let path = self.path(name);
        write(&self.describe(), &self.model(), &path, key, &mut |_| true).unwrap().unwrap();
        path
    }

    /// A package with these parts, whose model is what `model` says.
    fn forge(&self, parts: &[(&str, EntryType, &[u8])]) -> PathBuf {
        let path = self.path("forged.tar.zst");
        let file = fs::File::create(&path).unwrap();
        let mut archive = Builder::new(zstd::stream::write::Encoder::new(file, 1).unwrap());
        for (name, kind, content) in parts {
            let mut header = Header::new_ustar();
            // Written past the checks of the library, which refuses what leads out of a folder.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_cksum();
            archive.append(&header, *content).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap();
        path
    }

    fn install(&self, package: &Path, trusted: &TrustedKeys) -> Result<Manifest, Error> {
        let folder = self.folder();
        let package = Package { path: package, source: "p.tar.zst", folder: &folder, trusted };
        unpack(package, &mut |_| true).map(|manifest| manifest.expect("somebody waits"))
    }

    fn files(&self) -> Vec<String> {
        let files = fs::read_dir(self.folder()).unwrap();
        let mut files: Vec<_> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        files
    }
}

fn plain<'a>(name: &'a str, content: &'a [u8]) -> (&'a str, EntryType, &'a [u8]) {
    (name, EntryType::Regular, content)
}

#[test]
fn what_is_packed_is_installed_with_all_that_is_known_of_it() {
    let place = Place::new();
    let package = place.pack("a.tar.zst", None);
    let manifest = place.install(&package, &TrustedKeys::default()).unwrap();
    assert_eq!(manifest, place.describe().manifest);
    assert_eq!(
        place.files(),
        ["own@1.2.0.gguf", "own@1.2.0.gguf.origin.toml", "own@1.2.0.gguf.package.json"]
    );
    let file = place.folder().join("own@1.2.0.gguf");
    assert!(fs::read(&file).unwrap() == fs::read(place.model()).unwrap(), "another file");
    let located = Catalog::load(&place.folder()).resolve("own@1.2.0", &place.folder()).unwrap();
    let entry = located.entry.unwrap();
    assert_eq!((located.id.as_str(), entry.license.as_str()), ("own@1.2.0", "Apache-2.0"));
    assert_eq!(entry.template_text.as_deref(), Some("{{ messages }}"));
    assert_eq!(entry.sha256, manifest.model.sha256.to_string());
    // Again, and nothing changes.
    place.install(&package, &TrustedKeys::default()).unwrap();
    assert_eq!(place.files().len(), 3);
}

#[test]
fn the_same_model_gives_the_same_package() {
    let place = Place::new();
    let packages = ["a", "b"].map(|name| fs::read(place.pack(name, None)).unwrap());
    assert!(packages[0] == packages[1], "they differ");
    let again = write(&place.describe(), &place.model(), &place.path("a"), None, &mut |_| true);
    assert!(again.unwrap_err().to_string().contains("is there already"));
}

#[test]
fn a_packing_that_nobody_waits_for_leaves_nothing_behind() {
    let place = Place::new();
    let path = place.path("a.tar.zst");
    let ended = write(&place.describe(), &place.model(), &path, None, &mut |_| false).unwrap();
    assert_eq!(ended, None);
    assert!(!path.exists() && !place.path("a.tar.zst.part").exists());
}

#[test]
fn another_file_of_the_same_version_is_refused() {
    let place = Place::new();
    let package = place.pack("a.tar.zst", None);
    place.install(&package, &TrustedKeys::default()).unwrap();
    fs::write(place.model(), model(MODEL_BYTES, 2)).unwrap();
    let other = place.pack("b.tar.zst", None);
    let refused = place.install(&other, &TrustedKeys::default()).unwrap_err();
    assert!(refused.to_string().contains("tandem model rm own@1.2.0"), "{refused}");
}

#[test]
fn only_signed_packages_are_let_in_where_keys_are_trusted() {
    let place = Place::new();
    let keys = ["mine", "other"].map(|name| {
        SigningKey::create(&place.path(name)).unwrap();
        SigningKey::read(&place.path(name)).unwrap()
    });
    let trusted = TrustedKeys::parse(&[keys[0].public().to_string()]).unwrap();
    let unsigned = place.pack("a", None);
    let by_another = place.pack("b", Some(&keys[1]));
    let signed = place.pack("c", Some(&keys[0]));
    assert!(matches!(place.install(&unsigned, &trusted), Err(Error::Unsigned { .. })));
    assert!(matches!(place.install(&by_another, &trusted), Err(Error::Untrusted { .. })));
    assert_eq!(place.files(), [""; 0], "nothing was written");
    place.install(&signed, &trusted).unwrap();
}

#[test]
fn nothing_leads_out_of_the_folder_and_nothing_but_the_parts_is_unpacked() {
    let place = Place::new();
    let manifest = place.describe().manifest.to_bytes().unwrap();
    let list = write_chunks(&place.describe().chunks);
    let model = fs::read(place.model()).unwrap();
    let manifest = plain("manifest.json", &manifest);
    let chunks = plain("chunks", &list);
    for (parts, told) in [
        (vec![manifest, chunks, plain("../model.gguf", &model)], "../model.gguf"),
        (vec![manifest, chunks, plain("/tmp/model.gguf", &model)], "/tmp/model.gguf"),
        (vec![manifest, chunks, (MODEL, EntryType::Symlink, b"")], "model.gguf"),
        (vec![manifest, chunks, (MODEL, EntryType::Link, b"")], "model.gguf"),
        (vec![manifest, chunks, ("x", EntryType::GNULongName, b"model.gguf\0")], "\"x\""),
        (vec![manifest, plain(MODEL, &model)], "where the file manifest.json.sig or chunks"),
        (vec![chunks, manifest, plain(MODEL, &model)], "where the file manifest.json"),
        (vec![manifest, chunks], "it ends before its model.gguf"),
        (vec![], "it ends before its manifest.json"),
    ] {
        let refused = place.install(&place.forge(&parts), &TrustedKeys::default()).unwrap_err();
        assert!(refused.to_string().contains(told), "{refused}");
    }
    assert_eq!(place.files(), [""; 0], "nothing was written");
}

#[test]
fn what_is_not_what_the_manifest_says_is_refused() {
    let place = Place::new();
    let Description { manifest, chunks } = place.describe();
    let list = write_chunks(&chunks);
    let content = fs::read(place.model()).unwrap();
    let other = model(MODEL_BYTES, 2);
    let forge = |manifest: &Manifest, list: &[u8], model: &[u8]| {
        let bytes = manifest.to_bytes().unwrap();
        place.forge(&[plain("manifest.json", &bytes), plain("chunks", list), plain(MODEL, model)])
    };
    let install = |package: &Path| place.install(package, &TrustedKeys::default()).unwrap_err();

    let wrong_hash = install(&forge(&manifest, &list, &other));
    assert!(matches!(wrong_hash, Error::Pull(pull::Error::Corrupt { .. })), "{wrong_hash}");
    let wrong_size = install(&forge(&manifest, &list, &content[..content.len() - 1]));
    assert!(wrong_size.to_string().contains("another size"), "{wrong_size}");
    let wrong_list = install(&forge(&manifest, b"", &content));
    assert!(wrong_list.to_string().contains("list of chunks"), "{wrong_list}");

    let later = Manifest { format: 2, ..manifest.clone() };
    let unknown = install(&forge(&later, &list, &content));
    assert!(matches!(unknown, Error::Format { format: 2, .. }), "{unknown}");
    for id in ["../own", "", ".own"] {
        let elsewhere = Manifest { id: id.into(), ..manifest.clone() };
        let refused = install(&forge(&elsewhere, &list, &content));
        assert!(matches!(refused, Error::Malformed { .. }), "{refused}");
    }
    assert_eq!(place.files(), [""; 0], "nothing was kept");
}

#[test]
fn what_another_package_left_is_not_taken_for_what_this_one_has() {
    let place = Place::new();
    let good = place.pack("a.tar.zst", None);
    let Description { manifest, chunks } = place.describe();
    let (bytes, list) = (manifest.to_bytes().unwrap(), write_chunks(&chunks));
    let other = model(MODEL_BYTES, 2);
    let parts = [plain("manifest.json", &bytes), plain("chunks", &list), plain(MODEL, &other)];
    let (forged, trusted, folder) = (place.forge(&parts), TrustedKeys::default(), place.folder());
    let begun = Package { path: &forged, source: "p.tar.zst", folder: &folder, trusted: &trusted };
    assert_eq!(unpack(begun, &mut |_| false).unwrap(), None);
    assert!(place.files().contains(&".own@1.2.0.gguf.pull".to_owned()), "nothing was left");

    place.install(&good, &trusted).unwrap();
    let file = place.folder().join("own@1.2.0.gguf");
    assert!(fs::read(file).unwrap() == fs::read(place.model()).unwrap(), "another file");
}

#[test]
fn a_pipe_is_no_package_and_is_not_waited_for() {
    let place = Place::new();
    let pipe = place.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let refused = place.install(&pipe, &TrustedKeys::default()).unwrap_err();
    assert!(refused.to_string().contains("is not a file"), "{refused}");
}

#[test]
fn a_file_that_is_where_the_package_is_written_first_is_left_alone() {
    let place = Place::new();
    let (path, theirs) = (place.path("a.tar.zst"), place.path("a.tar.zst.part"));
    fs::write(&theirs, "theirs").unwrap();
    let refused = write(&place.describe(), &place.model(), &path, None, &mut |_| true).unwrap_err();
    assert!(refused.to_string().contains("a.tar.zst.part"), "{refused}");
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
}

#[test]
fn what_is_no_model_gets_no_name() {
    let place = Place::new();
    let Description { mut manifest, .. } = place.describe();
    let content = [7];
    let list = write_chunks(&[Chunk { sha256: Digest::of(&content), bytes: 1 }]);
    manifest.model = Part { sha256: Digest::of(&content), size_bytes: 1 };
    manifest.chunks = Part { sha256: Digest::of(&list), size_bytes: list.len() as u64 };
    let bytes = manifest.to_bytes().unwrap();
    let parts = [plain("manifest.json", &bytes), plain("chunks", &list), plain(MODEL, &content)];
    let refused = place.install(&place.forge(&parts), &TrustedKeys::default()).unwrap_err();
    assert!(matches!(refused, Error::Pull(pull::Error::NotAModel { .. })), "{refused}");
}

#[test]
fn bombs_and_packages_that_were_cut_off_are_refused() {
    let place = Place::new();
    // 64 MiB of zeros take a few kilobytes.
    let bomb = vec![0; 64 * MIB];
    let forged = place.forge(&[plain("manifest.json", &bomb)]);
    assert!(fs::metadata(&forged).unwrap().len() < MIB as u64);
    let refused = place.install(&forged, &TrustedKeys::default()).unwrap_err();
    assert!(refused.to_string().contains("are sane"), "{refused}");

    let whole = fs::read(place.pack("a.tar.zst", None)).unwrap();
    for length in [0, 4, 100, whole.len() / 2, whole.len() - 600_000] {
        let cut = place.path("cut.tar.zst");
        fs::write(&cut, &whole[..length]).unwrap();
        let refused = place.install(&cut, &TrustedKeys::default()).unwrap_err();
        assert!(matches!(refused, Error::Malformed { .. }), "{length}: {refused}");
    }
    assert_eq!(place.files(), [""; 0], "nothing was kept");
}
