//! PDF: text with pages, lines put together to paragraphs, headings told by their size.

mod layout;

use std::panic::{AssertUnwindSafe, catch_unwind};

use pdf_extract::{
    Document, MediaBox, Object, OutputDev, OutputError, Transform, decode_text_string, output_doc,
};

use super::gatherer::Gatherer;
use super::{Format, Refusal};
use layout::{Glyph, Layout};

/// What a document's information may tell.
const INFORMATION: [&str; 5] = ["Author", "Subject", "Keywords", "CreationDate", "ModDate"];

/// Reads a document. The library gives up on some broken files by panicking, which is caught here; it may
/// also overflow the stack, fill the memory or never end, which only a process of its own contains.
pub(super) fn read(bytes: &[u8], gatherer: &mut Gatherer) -> Result<(), Refusal> {
    catch_unwind(AssertUnwindSafe(|| read_pages(bytes, gatherer)))
        .unwrap_or_else(|_| Err(malformed("its structure contradicts itself")))
}

fn read_pages(bytes: &[u8], gatherer: &mut Gatherer) -> Result<(), Refusal> {
    let mut document = Document::load_mem(bytes).map_err(|error| malformed(&error.to_string()))?;
    if document.is_encrypted() {
        // Many are encrypted with an empty password, only to forbid changes.
        document.decrypt("").map_err(|_| Refusal::Encrypted)?;
    }
    describe(&document, gatherer);
    let mut pages = Pages { layout: Layout::default(), gatherer, refusal: None };
    let done = output_doc(&document, &mut pages);
    let Pages { layout, refusal, .. } = pages;
    match (refusal, done) {
        (Some(refusal), _) => Err(refusal),
        (None, Err(error)) => Err(malformed(&error.to_string())),
        (None, Ok(())) => layout.gather(gatherer),
    }
}

fn describe(document: &Document, gatherer: &mut Gatherer) {
    let Some(information) = document
        .trailer
        .get(b"Info")
        .and_then(|information| document.dereference(information))
        .ok()
        .and_then(|(_, information)| information.as_dict().ok())
    else {
        return;
    };
    let told = |key: &str| {
        let value: &Object = information.get(key.as_bytes()).ok()?;
        decode_text_string(document.dereference(value).ok()?.1).ok()
    };
    if let Some(title) = told("Title") {
        gatherer.title(&title);
    }
    for key in INFORMATION {
        if let Some(value) = told(key) {
            gatherer.describe(key, &value);
        }
    }
}

fn malformed(detail: &str) -> Refusal {
    Refusal::Malformed {
        format: Format::Pdf.name().to_owned(),
        detail: detail.chars().take(200).collect(),
    }
}

/// Receives the text as the library finds it.
struct Pages<'a> {
    layout: Layout,
    gatherer: &'a Gatherer,
    refusal: Option<Refusal>,
}

impl OutputDev for Pages<'_> {
    fn begin_page(
        &mut self,
        page: u32,
        _: &MediaBox,
        _: Option<(f64, f64, f64, f64)>,
    ) -> Result<(), OutputError> {
        self.layout.begin_page(page);
        Ok(())
    }

    fn end_page(&mut self) -> Result<(), OutputError> {
        self.layout.end_page();
        Ok(())
    }

    fn output_character(
        &mut self,
        place: &Transform,
        width: f64,
        _: f64,
        size: f64,
        text: &str,
    ) -> Result<(), OutputError> {
        // The side of the square that is as large as the transformed one.
        let scale = (place.m11 * place.m22 - place.m12 * place.m21).abs().sqrt();
        self.layout.add(&Glyph {
            x: place.m31,
            y: place.m32,
            width: width * size * scale,
            size: size * scale,
            text,
        });
        self.gatherer.allow_text(self.layout.bytes()).map_err(|refusal| {
            self.refusal = Some(refusal);
            OutputError::IoError(std::io::ErrorKind::FileTooLarge.into())
        })
    }

    fn begin_word(&mut self) -> Result<(), OutputError> {
        self.layout.begin_word();
        Ok(())
    }

    fn end_word(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}
