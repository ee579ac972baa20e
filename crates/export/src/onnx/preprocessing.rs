//! The way from pixels to a network's input as ONNX nodes, for pictures of any size: what
//! [`warmstart_data::Preprocessing`] does to a decoded picture.

use warmstart_data::{Fit, Interpolation, Preprocessing};

use super::builder::{Dim, Element, GraphBuilder, Port, Scalar, float, integer, integers, word};
use super::schema::element;
use super::value::Map;

/// Name of the pixels that a graph with its preprocessing takes.
pub const PIXELS: &str = "pixels";
/// Name of the network's input, in every graph.
pub const INPUT: &str = "input";
/// Grey of a letterbox, as `warmstart_data::letterboxed` paints it.
const GREY: u8 = 114;
/// Largest value of a pixel.
const WHITE: f32 = 255.0;

/// The place of a picture in the network's input: values of each picture are the same, because pictures of a batch
/// have one size.
pub struct Placement {
    /// `f32 [4]`: pixels of the input left of and above the picture, twice.
    pub start: String,
    /// `f32 [4]`: pixels of the picture for a pixel of the input, horizontally and vertically, twice.
    pub scale: String,
    /// `f32 [4]`: width and height of the picture, twice.
    pub size: String,
}

/// The pixels as an input.
pub fn pixels_port(channels: usize) -> Port {
    let (batch, height, width) = (
        Dim::Named("batch"),
        Dim::Named("height"),
        Dim::Named("width"),
    );
    Port {
        name: PIXELS.into(),
        element: Element::Byte,
        shape: vec![batch, height, width, Dim::Fixed(channels)],
        meaning: "pictures of one size, as decoded: 0 to 255, red, green and blue".into(),
    }
}

/// The network's input, where a caller prepares it.
pub fn input_port(channels: usize, size: usize) -> Port {
    let (channels, side) = (Dim::Fixed(channels), Dim::Fixed(size));
    Port {
        name: INPUT.into(),
        element: Element::Float,
        shape: vec![Dim::Named("batch"), channels, side, side],
        meaning: "pictures resized and normalised".into(),
    }
}

/// A picture's axis while it is fitted: names of `i64 [1]`.
struct Axis {
    /// Pixels of the picture.
    length: String,
    /// Pixels that they are resized to.
    resized: String,
}

/// Adds the nodes from [`PIXELS`] to [`INPUT`], and returns the latter, and the picture's place where the whole picture
/// lies on grey.
pub fn nodes(
    builder: &mut GraphBuilder,
    preprocessing: &Preprocessing,
) -> (Map, Option<Placement>) {
    let channels = preprocessing.mean.len();
    let size = preprocessing.crop;
    let shape = builder.node("Shape", "preprocessing/shape", &[PIXELS], Vec::new());
    let dimension = |builder: &mut GraphBuilder, name: &str, index: i64| {
        let index = builder.integers(&format!("preprocessing/{name}/index"), &[index]);
        let name = format!("preprocessing/{name}");
        builder.node("Gather", &name, &[&shape, &index], Vec::new())
    };
    let batch = dimension(builder, "batch", 0);
    let height = dimension(builder, "height", 1);
    let width = dimension(builder, "width", 2);
    let planes = builder.node(
        "Transpose",
        "preprocessing/planes",
        &[PIXELS],
        vec![integers("perm", &[0, 3, 1, 2])],
    );
    let resized = |builder: &mut GraphBuilder, rows: &str, columns: &str| {
        let channels = builder.integers("preprocessing/channels", &[channels as i64]);
        let sizes = builder.node(
            "Concat",
            "preprocessing/sizes",
            &[&batch, &channels, rows, columns],
            vec![integer("axis", 0)],
        );
        resize(builder, preprocessing.interpolation, &planes, &sizes)
    };
    let (fitted, placement) = match preprocessing.fit {
        Fit::Squash => {
            let side = builder.integers("preprocessing/side", &[size as i64]);
            (resized(builder, &side, &side), None)
        }
        Fit::Crop => {
            let [rows, columns] = shorter_side(builder, preprocessing.resize, height, width);
            let whole = resized(builder, &rows, &columns);
            (center(builder, size, &whole, [&rows, &columns]), None)
        }
        Fit::Letterbox => {
            let axes = longer_side(builder, size, height, width);
            let whole = resized(builder, &axes[0].resized, &axes[1].resized);
            let (canvas, placement) = on_grey(builder, size, &whole, axes);
            (canvas, Some(placement))
        }
    };
    normalize(builder, preprocessing, &fitted);
    let map = Map {
        name: INPUT.into(),
        shape: [size, size, channels],
    };
    (map, placement)
}

fn resize(builder: &mut GraphBuilder, filter: Interpolation, pixels: &str, sizes: &str) -> String {
    let mut attributes = vec![
        integer("antialias", 1),
        word("coordinate_transformation_mode", "half_pixel"),
    ];
    match filter {
        Interpolation::Bilinear => attributes.push(word("mode", "linear")),
        // Pillow's weights of pixels beyond the border are zero, and the others sum to one.
        Interpolation::Bicubic => attributes.extend([
            word("mode", "cubic"),
            float("cubic_coeff_a", -0.5),
            integer("exclude_outside", 1),
        ]),
    }
    let name = "preprocessing/resize";
    builder.node("Resize", name, &[pixels, "", "", sizes], attributes)
}

/// An operator on integers, by the last part of its name.
fn calculate(builder: &mut GraphBuilder, operator: &str, name: &str, inputs: [&str; 2]) -> String {
    let name = format!("preprocessing/{name}");
    builder.node(operator, &name, &inputs, Vec::new())
}

/// Height and width after the shorter is resized to `resize`; the longer is cut to an integer.
fn shorter_side(
    builder: &mut GraphBuilder,
    resize: usize,
    height: String,
    width: String,
) -> [String; 2] {
    let shorter = calculate(builder, "Min", "shorter", [&height, &width]);
    let target = builder.integers("preprocessing/shorter/target", &[resize as i64]);
    [("rows", height), ("columns", width)].map(|(axis, length)| {
        let product = calculate(
            builder,
            "Mul",
            &format!("{axis}/scaled"),
            [&length, &target],
        );
        calculate(builder, "Div", axis, [&product, &shorter])
    })
}

/// The centre `[size, size]` of a picture of at least that size. Halves are rounded to even.
fn center(
    builder: &mut GraphBuilder,
    size: usize,
    picture: &str,
    [rows, columns]: [&str; 2],
) -> String {
    let side = builder.integers("preprocessing/side", &[size as i64]);
    let two = builder.integers("preprocessing/two", &[2]);
    let axes = [("top", rows), ("left", columns)];
    let bounds = axes.map(|(name, length)| {
        let named = |part: &str| format!("{name}/{part}");
        let spare = calculate(builder, "Sub", &named("spare"), [length, &side]);
        let half = calculate(builder, "Div", &named("half"), [&spare, &two]);
        let odd = calculate(builder, "Mod", &named("odd"), [&spare, &two]);
        let odd_half = calculate(builder, "Mod", &named("odd_half"), [&half, &two]);
        let up = calculate(builder, "Mul", &named("up"), [&odd, &odd_half]);
        let first = calculate(builder, "Add", name, [&half, &up]);
        let end = calculate(builder, "Add", &named("end"), [&first, &side]);
        [first, end]
    });
    let [[top, bottom], [left, right]] = bounds;
    let first = both(builder, "first", [&top, &left]);
    let end = both(builder, "end", [&bottom, &right]);
    let axes = builder.integers("preprocessing/crop/axes", &[2, 3]);
    let inputs = [picture, &first, &end, &axes];
    builder.node("Slice", "preprocessing/crop", &inputs, Vec::new())
}

fn both(builder: &mut GraphBuilder, name: &str, parts: [&str; 2]) -> String {
    let name = format!("preprocessing/{name}");
    builder.node("Concat", &name, &parts, vec![integer("axis", 0)])
}

/// Rows and columns after the longer side is resized to `size`: rounded, halves up, and at least 1.
fn longer_side(
    builder: &mut GraphBuilder,
    size: usize,
    height: String,
    width: String,
) -> [Axis; 2] {
    let as_double = |builder: &mut GraphBuilder, value: &str| {
        let to = vec![integer("to", element::DOUBLE.into())];
        builder.node("Cast", &format!("{value}/f64"), &[value], to)
    };
    let longer = calculate(builder, "Max", "longer", [&height, &width]);
    let longer = as_double(builder, &longer);
    let side = builder.doubles("preprocessing/side/f64", &[size as f64]);
    let scale = calculate(builder, "Div", "scale", [&side, &longer]);
    let half = builder.doubles("preprocessing/half", &[0.5]);
    let one = builder.integers("preprocessing/one", &[1]);
    [("rows", height), ("columns", width)].map(|(name, length)| {
        let named = |part: &str| format!("{name}/{part}");
        let exact = as_double(builder, &length);
        let exact = calculate(builder, "Mul", &named("exact"), [&exact, &scale]);
        let above = calculate(builder, "Add", &named("above"), [&exact, &half]);
        let to = vec![integer("to", element::INT64.into())];
        let whole = format!("preprocessing/{}", named("whole"));
        let whole = builder.node("Cast", &whole, &[&above], to);
        let resized = calculate(builder, "Max", name, [&whole, &one]);
        Axis { length, resized }
    })
}

/// A resized picture in the middle of a grey square; an odd pixel of grey goes to the right and the bottom.
fn on_grey(
    builder: &mut GraphBuilder,
    size: usize,
    picture: &str,
    axes: [Axis; 2],
) -> (String, Placement) {
    let side = builder.integers("preprocessing/side", &[size as i64]);
    let two = builder.integers("preprocessing/two", &[2]);
    let names = ["top", "left"];
    let edges: [[String; 2]; 2] = std::array::from_fn(|axis| {
        let named = |part: &str| format!("{}/{part}", names[axis]);
        let spare = calculate(
            builder,
            "Sub",
            &named("spare"),
            [&side, &axes[axis].resized],
        );
        let before = calculate(builder, "Div", names[axis], [&spare, &two]);
        let after = calculate(builder, "Sub", &named("after"), [&spare, &before]);
        [before, after]
    });
    let [[top, bottom], [left, right]] = edges;
    let none = builder.integers("preprocessing/none", &[0, 0]);
    let pads = builder.node(
        "Concat",
        "preprocessing/pads",
        &[&none, &top, &left, &none, &bottom, &right],
        vec![integer("axis", 0)],
    );
    let grey = builder.scalar("preprocessing/grey", Scalar::Byte(GREY));
    let canvas = builder.node(
        "Pad",
        "preprocessing/canvas",
        &[picture, &pads, &grey],
        vec![word("mode", "constant")],
    );
    let [rows, columns] = axes;
    let start = four_floats(builder, "start", [&left, &top]);
    let length = four_floats(builder, "size", [&columns.length, &rows.length]);
    let resized = four_floats(builder, "resized", [&columns.resized, &rows.resized]);
    let scale = calculate(builder, "Div", "back", [&length, &resized]);
    let placement = Placement {
        start,
        scale,
        size: length,
    };
    (canvas, placement)
}

/// Two integers, horizontal and vertical, twice, as `f32 [4]`.
fn four_floats(builder: &mut GraphBuilder, name: &str, [x, y]: [&str; 2]) -> String {
    let four = builder.node(
        "Concat",
        &format!("preprocessing/{name}/four"),
        &[x, y, x, y],
        vec![integer("axis", 0)],
    );
    let to = vec![integer("to", element::FLOAT.into())];
    builder.node("Cast", &format!("preprocessing/{name}"), &[&four], to)
}

/// `(value / 255 − mean) / deviation`, as `(value − 255 · mean) · (1 / (255 · deviation))`.
fn normalize(builder: &mut GraphBuilder, preprocessing: &Preprocessing, pixels: &str) {
    let channels = preprocessing.mean.len();
    let mean = preprocessing.mean.map(|mean| WHITE * mean);
    let scale = preprocessing.std.map(|deviation| 1.0 / (WHITE * deviation));
    let to = vec![integer("to", element::FLOAT.into())];
    let values = builder.node("Cast", "preprocessing/values", &[pixels], to);
    let shape = [1, channels, 1, 1];
    let mean = builder.floats(&["preprocessing/mean"], &shape, &mean);
    let scale = builder.floats(&["preprocessing/scale_of_values"], &shape, &scale);
    let centred = calculate(builder, "Sub", "centred", [&values, &mean]);
    builder.named_node("Mul", INPUT, &[&centred, &scale], &[INPUT], Vec::new());
}
