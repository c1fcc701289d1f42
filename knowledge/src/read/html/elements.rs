//! What the elements of a page mean for its text.

use html5gum::StartTag;

/// What an element means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Root,
    Title,
    Meta,
    Main,
    Article,
    Heading(u8),
    List {
        numbered: bool,
    },
    Item,
    Preformatted,
    Table,
    Row,
    Cell {
        head: bool,
    },
    Break,
    Picture,
    /// Stands on its own.
    Block,
    /// Part of the text around it.
    Inline,
    /// Around the text of a page, and no part of it.
    Chrome,
    /// Around the text of a page, but a part of what it stands in inside of an article.
    Frame,
    /// Nothing to read.
    Machinery,
}

impl Element {
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b"html" => Self::Root,
            b"title" => Self::Title,
            b"meta" => Self::Meta,
            b"main" => Self::Main,
            b"article" => Self::Article,
            [b'h', level @ b'1'..=b'6'] => Self::Heading(level - b'0'),
            b"ul" | b"menu" | b"dl" => Self::List { numbered: false },
            b"ol" => Self::List { numbered: true },
            b"li" | b"dt" | b"dd" => Self::Item,
            b"pre" | b"listing" => Self::Preformatted,
            b"table" => Self::Table,
            b"tr" => Self::Row,
            b"td" => Self::Cell { head: false },
            b"th" => Self::Cell { head: true },
            b"br" => Self::Break,
            b"img" => Self::Picture,
            b"address" | b"aside" | b"blockquote" | b"body" | b"caption" | b"center"
            | b"details" | b"div" | b"fieldset" | b"figcaption" | b"figure" | b"form" | b"head"
            | b"hgroup" | b"hr" | b"legend" | b"p" | b"section" | b"summary" | b"tbody"
            | b"tfoot" | b"thead" => Self::Block,
            b"nav" | b"dialog" => Self::Chrome,
            b"header" | b"footer" => Self::Frame,
            b"script" | b"style" | b"noscript" | b"template" | b"svg" | b"iframe" | b"object"
            | b"canvas" | b"audio" | b"video" | b"button" | b"select" | b"textarea"
            | b"datalist" => Self::Machinery,
            _ => Self::Inline,
        }
    }

    /// Whether all in the element is left out.
    pub(super) fn is_skipped(
        self,
        tag: &StartTag<()>,
        without_chrome: bool,
        in_article: bool,
    ) -> bool {
        if self == Self::Machinery {
            return true;
        }
        // They have no end, or hold everything.
        if !without_chrome
            || is_void(&tag.name)
            || matches!(self, Self::Root | Self::Main | Self::Title)
            || *tag.name == b"body"[..]
        {
            return false;
        }
        let role = attribute(tag, "role");
        let hidden = tag.attributes.contains_key(&b"hidden"[..])
            || attribute(tag, "aria-hidden").as_deref() == Some("true");
        match role.as_deref() {
            _ if hidden || self == Self::Chrome => true,
            Some("navigation" | "search" | "menu" | "menubar" | "toolbar") => true,
            Some("banner" | "contentinfo") => !in_article,
            _ => self == Self::Frame && !in_article,
        }
    }
}

/// The value of an attribute.
pub(super) fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    let value = tag.attributes.get(name.as_bytes())?;
    Some(String::from_utf8_lossy(&value.value).into_owned())
}

fn is_void(name: &[u8]) -> bool {
    [
        &b"area"[..],
        b"base",
        b"br",
        b"col",
        b"embed",
        b"hr",
        b"img",
        b"input",
        b"link",
        b"meta",
        b"source",
        b"track",
        b"wbr",
    ]
    .contains(&name)
}
