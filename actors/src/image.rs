//! Pictures that come with a question.

use tandem_proto::v1::Image;

use crate::{Error, Result};

/// Most pictures of one question.
const IMAGES_MAX: usize = 16;
/// Largest picture in bytes. APIs refuse larger ones.
const IMAGE_BYTES_MAX: usize = 5 << 20;
/// Most bytes of all pictures together, which leaves room for the rest of a request.
const BYTES_MAX: usize = 10 << 20;
/// About how many tokens a picture counts for; APIs scale larger ones down.
pub(crate) const TOKENS: u32 = 1600;

/// The media type that the first bytes tell, of those that APIs take.
pub(crate) fn media_type(data: &[u8]) -> Option<&'static str> {
    match data {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

/// Refuses what is no picture, too many and too large ones.
pub(crate) fn validate(images: &[Image]) -> Result<()> {
    let refuse = |problem: String| Err(Error::invalid("images", problem));
    if images.len() > IMAGES_MAX {
        return refuse(format!("are {}; at most {IMAGES_MAX} are allowed", images.len()));
    }
    for (number, Image { data }) in (1..).zip(images) {
        if data.len() > IMAGE_BYTES_MAX {
            let limit = IMAGE_BYTES_MAX >> 20;
            return refuse(format!("number {number} is larger than {limit} MiB; scale it down"));
        }
        if media_type(data).is_none() {
            return refuse(format!("number {number} is no PNG, JPEG, WebP or GIF; convert it"));
        }
    }
    if images.iter().map(|image| image.data.len()).sum::<usize>() > BYTES_MAX {
        return refuse(format!("are together larger than {} MiB; send fewer", BYTES_MAX >> 20));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0";

    #[test]
    fn pictures_are_told_apart_by_their_first_bytes() {
        for (data, expected) in [
            (PNG, Some("image/png")),
            (&b"\xff\xd8\xff\xe0"[..], Some("image/jpeg")),
            (b"GIF89a..", Some("image/gif")),
            (b"RIFF\x01\x02\x03\x04WEBPVP8 ", Some("image/webp")),
            (b"RIFF\x01\x02\x03\x04WAVE", None),
            (b"<svg/>", None),
            (b"", None),
        ] {
            assert_eq!(media_type(data), expected);
        }
    }

    #[test]
    fn what_is_no_picture_or_too_much_is_refused() {
        let image = |bytes: usize| Image { data: [PNG, &vec![0; bytes]].concat() };
        let refusal = |images: &[Image]| validate(images).unwrap_err().to_string();
        assert!(validate(&[image(0), image(4 << 20)]).is_ok());
        let text = Image { data: b"hello".to_vec() };
        assert!(refusal(&[image(0), text]).contains("images: number 2 is no PNG"));
        assert!(refusal(&[image(5 << 20)]).contains("larger than 5 MiB"));
        assert!(refusal(&vec![image(4 << 20); 3]).contains("together larger than 10 MiB"));
        assert!(refusal(&vec![image(0); 17]).contains("are 17; at most 16"));
    }
}
