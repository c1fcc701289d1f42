//! Writes small PDFs.

/// A page of text lines: size of the letters, distance from the lower edge, text.
pub(crate) type Lines<'a> = &'a [(u32, u32, &'a str)];

/// Writes a PDF as simple programs do.
pub(crate) fn pdf(title: &str, pages: &[Lines<'_>]) -> Vec<u8> {
    let contents = pages.iter().map(|lines| {
        let lines: String = lines
            .iter()
            .map(|(size, y, text)| format!("BT /F {size} Tf 72 {y} Td ({text}) Tj ET\n"))
            .collect();
        format!("<< /Length {} >>\nstream\n{lines}endstream", lines.len()).into_bytes()
    });
    assemble(title, &contents.collect::<Vec<_>>())
}

/// Writes a PDF with these streams, one for each page.
pub(crate) fn assemble(title: &str, contents: &[Vec<u8>]) -> Vec<u8> {
    let kids: String = (0..contents.len()).map(|page| format!("{} 0 R ", 5 + 2 * page)).collect();
    let mut objects = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        format!(
            "<< /Type /Pages /Kids [{kids}] /Count {} /MediaBox [0 0 595 842] >>",
            contents.len()
        )
        .into_bytes(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
            .to_vec(),
        format!("<< /Title ({title}) /Author (Ani) >>").into_bytes(),
    ];
    for (page, content) in contents.iter().enumerate() {
        let of = 6 + 2 * page;
        objects.push(format!("<< /Type /Page /Parent 2 0 R /Resources << /Font << /F 3 0 R >> >> /Contents {of} 0 R >>").into_bytes());
        objects.push(content.clone());
    }
    let mut file = b"%PDF-1.4\n".to_vec();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (number, object) in (1..).zip(&objects) {
        table.push_str(&format!("{:010} 00000 n \n", file.len()));
        file.extend_from_slice(format!("{number} 0 obj\n").as_bytes());
        file.extend_from_slice(object);
        file.extend_from_slice(b"\nendobj\n");
    }
    let start = file.len();
    let size = objects.len() + 1;
    file.extend_from_slice(format!("{table}trailer\n<< /Size {size} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{start}\n%%EOF\n").as_bytes());
    file
}
