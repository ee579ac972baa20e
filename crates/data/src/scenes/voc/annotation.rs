//! One file of annotations: the size of its picture and its objects, read element by element.
//!
//! Namespaces and the file's own entities have no meaning in VOC and are not resolved, and nothing is nested
//! in memory, so that time and memory grow with the file's length only.

use crate::error::DataError;
use crate::scene::BoundingBox;
use crate::scenes::findings::{Findings, Problem};
use crate::scenes::reading::class_name;
use crate::text::read_text_within;
use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, Event};
use std::path::Path;
use warmstart_files::{one_line, shown};
use warmstart_language::{english, message, translated};

/// The elements that are read; others are skipped with all that is in them.
const ELEMENTS: [&str; 13] = [
    "annotation",
    "size",
    "width",
    "height",
    "filename",
    "object",
    "name",
    "difficult",
    "bndbox",
    "xmin",
    "ymin",
    "xmax",
    "ymax",
];

/// Bytes that the annotations of one picture may have: some hundred thousand objects.
const MAX_BYTES: u64 = 256 << 20;

/// Characters of a parser's message that are shown: it may quote a name of any length.
const MESSAGE: usize = 160;

/// The contents of one file.
#[derive(Default)]
pub(super) struct Annotation {
    /// The name of the picture, as it was where the file was made.
    pub picture: Option<String>,
    /// Width and height in pixels.
    pub size: Option<(f64, f64)>,
    pub objects: Vec<NamedObject>,
    pub findings: Findings,
}

pub(super) struct NamedObject {
    pub class: String,
    /// xmin, ymin, xmax and ymax as the file has them.
    corners: [f64; 4],
    pub difficult: bool,
    /// Line of the element, from 1.
    pub line: usize,
}

impl Annotation {
    /// The corners of every box as the file has them.
    pub fn corners(&self) -> impl Iterator<Item = [f64; 4]> {
        self.objects.iter().map(|object| object.corners)
    }
}

impl NamedObject {
    /// The box in pixels from 0: VOC counts them from 1, and a box holds those of both corners.
    pub fn in_pixels(&self) -> BoundingBox {
        let [xmin, ymin, right, bottom] = self.corners;
        BoundingBox {
            left: xmin - 1.0,
            top: ymin - 1.0,
            right,
            bottom,
        }
    }

    /// The box in fractions of the picture, which are not counted.
    pub fn as_fractions(&self) -> BoundingBox {
        let [left, top, right, bottom] = self.corners;
        BoundingBox {
            left,
            top,
            right,
            bottom,
        }
    }
}

/// Reads a file of annotations. Parts of objects, which have boxes of their own, are skipped.
///
/// # Errors
/// If it is not text or not XML, or its outermost element is another one, with the line.
pub(super) fn read_annotation(file: &Path) -> Result<Annotation, DataError> {
    let text = read_text_within(file, MAX_BYTES)?;
    let mut annotation = Annotation::default();
    annotation.findings.add_encoding(file, &text);
    let raw = RawAnnotation::read(&text)
        .map_err(|(line, problem)| DataError::annotations(file, line, problem))?;
    annotation.picture = raw.picture;
    let [width, height] = raw.size.map(|side| side?.parse().ok());
    annotation.size = width.zip(height);
    for object in raw.objects {
        let line = object.line;
        match object.checked() {
            Ok(object) => annotation.objects.push(object),
            Err(missing) => annotation.findings.add(Problem::Malformed, || {
                let missing = translated(missing);
                message!("{}, line {line}: expected {missing}", shown(file))
            }),
        }
    }
    Ok(annotation)
}

/// The texts of the elements; of several of one name the first counts.
#[derive(Default)]
struct RawAnnotation {
    picture: Option<String>,
    /// Width and height.
    size: [Option<String>; 2],
    objects: Vec<RawObject>,
}

struct RawObject {
    line: usize,
    name: Option<String>,
    difficult: Option<String>,
    has_box: bool,
    /// xmin, ymin, xmax and ymax.
    corners: [Option<String>; 4],
}

impl RawAnnotation {
    /// Reads XML; an error is a line and what is wrong there.
    fn read(xml: &str) -> Result<Self, (usize, String)> {
        let mut raw = Self::default();
        let mut reader = Reader::from_str(xml);
        reader.config_mut().expand_empty_elements = true;
        let mut lines = Lines::new(xml);
        let mut seen_root = false;
        // Where the reader is: the known name of every open element, and the innermost one's text.
        let mut path: Vec<&'static str> = Vec::new();
        let mut text = String::new();
        loop {
            let line = lines.at(reader.buffer_position());
            let event = reader.read_event().map_err(|error| {
                let line = lines.at(reader.error_position());
                (line, not_xml(&error.to_string()))
            })?;
            match event {
                Event::Start(element) => {
                    let name = element.local_name();
                    if path.is_empty() {
                        require_root(name.as_ref(), seen_root).map_err(|found| (line, found))?;
                        seen_root = true;
                    }
                    let known = ELEMENTS.iter().find(|known| **known == name.as_ref());
                    path.push(known.unwrap_or(&""));
                    text.clear();
                    raw.start(&path, line);
                }
                Event::End(_) => {
                    raw.end(&path, text.trim());
                    path.pop();
                    text.clear();
                }
                Event::Text(part) if path.is_empty() => {
                    if !part.trim().is_empty() {
                        let reason = translated(english!("text outside of the elements"));
                        return Err((line, not_xml(reason)));
                    }
                }
                Event::Text(part) => text.push_str(&part),
                Event::CData(part) => text.push_str(&part),
                Event::GeneralRef(entity) => {
                    let letters = resolved(&entity).ok_or_else(|| {
                        let name: &str = &entity;
                        (line, not_xml(&message!("the entity {name:?} is not known")))
                    })?;
                    text.push_str(&letters);
                }
                // Empty elements come as a start and an end.
                Event::Empty(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_)
                | Event::DocType(_) => {}
                Event::Eof if !path.is_empty() => {
                    let reason = english!("the file ends before its elements do");
                    return Err((line, not_xml(translated(reason))));
                }
                Event::Eof if !seen_root => {
                    let reason = translated(english!("there is no element"));
                    return Err((line, not_xml(reason)));
                }
                Event::Eof => return Ok(raw),
            }
        }
    }

    fn start(&mut self, path: &[&str], line: usize) {
        match path {
            [_, "object"] => self.objects.push(RawObject {
                line,
                name: None,
                difficult: None,
                has_box: false,
                corners: [const { None }; 4],
            }),
            [_, "object", "bndbox"] => {
                if let Some(object) = self.objects.last_mut() {
                    object.has_box = true;
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, path: &[&str], text: &str) {
        let place = match (path, self.objects.last_mut()) {
            ([_, "filename"], _) => &mut self.picture,
            ([_, "size", "width"], _) => &mut self.size[0],
            ([_, "size", "height"], _) => &mut self.size[1],
            ([_, "object", "name"], Some(object)) => &mut object.name,
            ([_, "object", "difficult"], Some(object)) => &mut object.difficult,
            ([_, "object", "bndbox", corner], Some(object)) => match *corner {
                "xmin" => &mut object.corners[0],
                "ymin" => &mut object.corners[1],
                "xmax" => &mut object.corners[2],
                "ymax" => &mut object.corners[3],
                _ => return,
            },
            _ => return,
        };
        place.get_or_insert_with(|| text.to_owned());
    }
}

impl RawObject {
    /// The object, or what it lacks, in English.
    fn checked(self) -> Result<NamedObject, &'static str> {
        let class = self.name.filter(|name| !name.is_empty());
        if !self.has_box {
            return Err(english!("an element bndbox"));
        }
        let corners = self.corners.map(|text| text?.parse::<f64>().ok());
        let [Some(xmin), Some(ymin), Some(xmax), Some(ymax)] = corners else {
            return Err(english!("bndbox with numbers xmin, ymin, xmax, ymax"));
        };
        Ok(NamedObject {
            class: class_name(&class.ok_or(english!("an element name"))?),
            corners: [xmin, ymin, xmax, ymax],
            difficult: self.difficult.as_deref() == Some("1"),
            line: self.line,
        })
    }
}

fn require_root(name: &str, seen: bool) -> Result<(), String> {
    if seen {
        let reason = translated(english!("there is a second outermost element"));
        return Err(not_xml(reason));
    }
    if name != "annotation" {
        let name = short(name);
        return Err(message!(
            "expected VOC's element annotation, found {name}; export it again as Pascal VOC"
        ));
    }
    Ok(())
}

fn not_xml(reason: &str) -> String {
    let reason = short(reason);
    message!("expected XML; {reason}; fix the file or export it again")
}

fn short(text: &str) -> String {
    one_line(text).chars().take(MESSAGE).collect()
}

/// A character by its number, or one of XML's five entities.
fn resolved(entity: &BytesRef) -> Option<String> {
    match entity.resolve_char_ref() {
        Ok(Some(letter)) => Some(letter.to_string()),
        Ok(None) => resolve_xml_entity(entity).map(str::to_owned),
        Err(_) => None,
    }
}

/// Lines of rising places in a text.
struct Lines<'a> {
    bytes: &'a [u8],
    counted: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            bytes: text.as_bytes(),
            counted: 0,
            line: 1,
        }
    }

    /// The line of a byte, from 1; of the last one asked for if this one lies before it.
    fn at(&mut self, offset: u64) -> usize {
        let offset = (offset as usize).min(self.bytes.len());
        if let Some(passed) = self.bytes.get(self.counted..offset) {
            self.line += passed.iter().filter(|byte| **byte == b'\n').count();
            self.counted = offset;
        }
        self.line
    }
}
