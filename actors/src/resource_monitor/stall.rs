//! The kernel's account of waiting tasks, `/proc/pressure/*`.

/// Share of the last 10 seconds in which some task waited, 0 to 1.
pub(super) fn parse(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let percent = some.split(' ').find_map(|field| field.strip_prefix("avg10="))?;
    let share = percent.parse::<f64>().ok()? / 100.0;
    share.is_finite().then(|| share.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_ten_seconds_is_read() {
        let text = "some avg10=12.50 avg60=1.00 avg300=0.10 total=123\nfull avg10=99.00 total=1\n";
        assert_eq!(parse(text), Some(0.125));
        assert_eq!(parse("some avg10=0.00 avg60=0.00 avg300=0.00 total=0"), Some(0.0));
        assert_eq!(parse("some avg10=250.0"), Some(1.0));
    }

    #[test]
    fn what_is_not_there_is_unset() {
        for text in ["", "full avg10=1.00", "some avg60=1.00", "some avg10=", "some avg10=NaN"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
