//! A detector as ONNX nodes: backbone, neck, head, and the choice of boxes.

use warmstart_models::Architecture;
use warmstart_models::detector::{Coding, STRIDES};
use warmstart_tasks::detect::{LARGEST_LOGARITHM, Point, Selection, points};

use super::builder::{Dim, Element, GraphBuilder, Port, Scalar, integer, integers};
use super::network::layers;
use super::preprocessing::Placement;
use super::schema::element;
use super::value::{Map, Scope};
use crate::model::Detector;

/// Name of the boxes of all points, `[batch, points, 4]` in pixels of the network's input, in every graph.
pub const POINT_BOXES: &str = "points/boxes";
/// Name of the scores of all points, `[batch, classes, points]`, in every graph.
pub const POINT_SCORES: &str = "points/scores";

/// Names of the outputs.
const BOXES: &str = "boxes";
const SCORES: &str = "scores";
const CLASSES: &str = "classes";
const IMAGES: &str = "images";

/// The outputs. With `raw`, every point's; otherwise those of the objects that are selected.
pub fn ports(raw: bool, points: usize, classes: usize) -> Vec<Port> {
    let port = |name: &str, element, shape: &[Dim], meaning: &str| Port {
        name: name.into(),
        element,
        shape: shape.to_vec(),
        meaning: meaning.into(),
    };
    let (batch, found) = (Dim::Named("batch"), Dim::Named("found"));
    let [points, sides, classes] = [points, 4, classes].map(Dim::Fixed);
    let corners = "left, top, right and bottom in pixels of the picture";
    if raw {
        let (boxes, scores) = ([batch, points, sides], [batch, points, classes]);
        return vec![
            port(BOXES, Element::Float, &boxes, corners),
            port(
                SCORES,
                Element::Float,
                &scores,
                "score of each class, 0 to 1",
            ),
        ];
    }
    vec![
        port(BOXES, Element::Float, &[found, sides], corners),
        port(
            SCORES,
            Element::Float,
            &[found],
            "score of each object, 0 to 1",
        ),
        port(
            CLASSES,
            Element::Integer,
            &[found],
            "index of each object's class",
        ),
        port(
            IMAGES,
            Element::Integer,
            &[found],
            "index of each object's picture in the batch",
        ),
    ]
}

/// The values that the network itself computes, in every graph.
pub fn network_ports(points: usize, classes: usize) -> Vec<Port> {
    let port = |name: &str, rest: [usize; 2]| Port {
        name: name.into(),
        element: Element::Float,
        shape: vec![
            Dim::Named("batch"),
            Dim::Fixed(rest[0]),
            Dim::Fixed(rest[1]),
        ],
        meaning: String::new(),
    };
    vec![
        port(POINT_BOXES, [points, 4]),
        port(POINT_SCORES, [classes, points]),
    ]
}

/// Adds the detector's nodes from its input to its outputs. `placement` is the picture's place in the input, if the
/// graph knows it; boxes are in pixels of the input otherwise. Without `selection`, the outputs are those of all
/// points.
pub fn nodes(
    builder: &mut GraphBuilder,
    detector: &Detector,
    input: Map,
    placement: Option<Placement>,
    selection: Option<Selection>,
) {
    let scope = Scope {
        prefix: "",
        parameters: &detector.parameters,
    };
    let points = points(input.shape[0], detector.head.coding());
    let features = features(builder, scope, &detector.backbone, input);
    let maps = layers(builder, scope, detector.head.graph(), &features);
    let (classes, others) = maps.split_at(STRIDES.len());
    let (boxes, objectness) = others.split_at(STRIDES.len());
    scores(builder, classes, objectness);
    decode(builder, boxes, &points, detector.head.coding());
    match selection {
        None => raw(builder, placement),
        Some(selection) => selected(builder, placement, selection),
    }
}

/// The maps that a detector's head works on: those of the taps, or what the neck of the network makes of them.
fn features(
    builder: &mut GraphBuilder,
    scope: Scope,
    backbone: &Architecture,
    input: Map,
) -> Vec<Map> {
    let taps = backbone.taps.expect("a detector's backbone has maps");
    let mut taken = Vec::new();
    let mut last = input;
    for (index, stage) in backbone.stages.iter().enumerate() {
        let graph = stage.graph();
        // A neck is the last stage.
        if graph.inputs() > 1 {
            return layers(builder, scope, graph, &taken);
        }
        last = layers(builder, scope, graph, &[last]).swap_remove(0);
        if taps.contains(&index) {
            taken.push(last.clone());
        }
    }
    taken
}

/// The scores of all points: of each class, times that of there being an object where the network predicts it.
fn scores(builder: &mut GraphBuilder, classes: &[Map], objectness: &[Map]) {
    let logits = of_points(builder, "points/logits", classes);
    if objectness.is_empty() {
        let (input, output) = ([&*logits], [POINT_SCORES]);
        builder.named_node("Sigmoid", POINT_SCORES, &input, &output, Vec::new());
        return;
    }
    let classes = builder.node("Sigmoid", "points/classes", &[&logits], Vec::new());
    let logits = of_points(builder, "points/objectness", objectness);
    let objects = builder.node("Sigmoid", "points/objects", &[&logits], Vec::new());
    let inputs = [&*classes, &objects];
    builder.named_node("Mul", POINT_SCORES, &inputs, &[POINT_SCORES], Vec::new());
}

/// Maps of several strides as `[batch, values, points]`.
fn of_points(builder: &mut GraphBuilder, name: &str, maps: &[Map]) -> String {
    let flat: Vec<String> = maps
        .iter()
        .enumerate()
        .map(|(level, map)| {
            let [_, _, values] = map.shape;
            let shape = format!("{name}/shape");
            let shape = builder.integers(&shape, &[0, values as i64, -1]);
            let name = format!("{name}.{level}");
            builder.node("Reshape", &name, &[&map.name, &shape], Vec::new())
        })
        .collect();
    let flat: Vec<&str> = flat.iter().map(String::as_str).collect();
    builder.node("Concat", name, &flat, vec![integer("axis", 2)])
}

/// The boxes of all points in pixels of the network's input, as `tasks::detect::Point::decode` has them.
fn decode(builder: &mut GraphBuilder, maps: &[Map], points: &[Point], coding: Coding) {
    let values = of_points(builder, "points/values", maps);
    let by_point = vec![integers("perm", &[0, 2, 1])];
    let values = builder.node("Transpose", "points/sides", &[&values], by_point);
    match coding {
        Coding::Logarithms => {
            let distances = exponentials(builder, "points/distances", &values);
            around_points(builder, points, &distances);
        }
        Coding::Distances => around_points(builder, points, &values),
        Coding::Centers => around_centers(builder, points, &values),
    }
}

/// The exponentials of logarithms that are bounded.
fn exponentials(builder: &mut GraphBuilder, name: &str, logarithms: &str) -> String {
    let most = builder.scalar("points/most", Scalar::Float(LARGEST_LOGARITHM));
    let bounded = builder.node("Min", "points/bounded", &[logarithms, &most], Vec::new());
    builder.node("Exp", name, &[&bounded], Vec::new())
}

/// Boxes from the distances of their sides from the points, in strides: `[batch, points, 4]`.
fn around_points(builder: &mut GraphBuilder, points: &[Point], distances: &str) {
    let (mut places, mut outward) = (Vec::new(), Vec::new());
    for point in points {
        places.extend([point.x, point.y, point.x, point.y]);
        outward.extend([-point.stride, -point.stride, point.stride, point.stride]);
    }
    let shape = [1, points.len(), 4];
    let places = builder.floats(&["points/places"], &shape, &places);
    let outward = builder.floats(&["points/outward"], &shape, &outward);
    let offsets = builder.node("Mul", "points/offsets", &[distances, &outward], Vec::new());
    let inputs = [&*places, &offsets];
    builder.named_node("Add", POINT_BOXES, &inputs, &[POINT_BOXES], Vec::new());
}

/// Boxes from the places of their centres and the logarithms of their sizes, in strides: `[batch, points, 4]`.
fn around_centers(builder: &mut GraphBuilder, points: &[Point], values: &str) {
    let count = points.len();
    let places: Vec<f32> = points.iter().flat_map(|point| [point.x, point.y]).collect();
    let strides: Vec<f32> = points.iter().map(|point| point.stride).collect();
    let halves: Vec<f32> = strides.iter().map(|stride| stride / 2.0).collect();
    let places = builder.floats(&["points/places"], &[1, count, 2], &places);
    let strides = builder.floats(&["points/strides"], &[1, count, 1], &strides);
    let halves = builder.floats(&["points/half_strides"], &[1, count, 1], &halves);
    let [none, two, four] =
        [0, 2, 4].map(|place| builder.integers(&format!("points/values/{place}"), &[place]));
    let part = |builder: &mut GraphBuilder, name: &str, [from, to]: [&str; 2]| {
        // The axis of the values has the number two.
        builder.node("Slice", name, &[values, from, to, &two], Vec::new())
    };
    let offsets = part(builder, "points/offsets", [&none, &two]);
    let logarithms = part(builder, "points/logarithms", [&two, &four]);
    let node = |builder: &mut GraphBuilder, operator: &str, name: &str, inputs: [&str; 2]| {
        builder.node(operator, &format!("points/{name}"), &inputs, Vec::new())
    };
    let moved = node(builder, "Mul", "moved", [&offsets, &strides]);
    let centers = node(builder, "Add", "centers", [&places, &moved]);
    let sizes = exponentials(builder, "points/sizes", &logarithms);
    let reach = node(builder, "Mul", "reach", [&sizes, &halves]);
    let first = node(builder, "Sub", "first", [&centers, &reach]);
    let last = node(builder, "Add", "last", [&centers, &reach]);
    let (inputs, along) = ([&*first, &last], vec![integer("axis", 2)]);
    builder.named_node("Concat", POINT_BOXES, &inputs, &[POINT_BOXES], along);
}

fn raw(builder: &mut GraphBuilder, placement: Option<Placement>) {
    let by_point = vec![integers("perm", &[0, 2, 1])];
    builder.named_node("Transpose", SCORES, &[POINT_SCORES], &[SCORES], by_point);
    match placement {
        None => builder.named_node("Identity", BOXES, &[POINT_BOXES], &[BOXES], Vec::new()),
        Some(placement) => in_picture(builder, POINT_BOXES, placement, BOXES),
    }
}

/// Boxes in pixels of the picture and clipped to it, under the name `output`.
fn in_picture(builder: &mut GraphBuilder, boxes: &str, placement: Placement, output: &str) {
    let Placement { start, scale, size } = placement;
    let zero = builder.scalar("zero", Scalar::Float(0.0));
    let moved = builder.node("Sub", "boxes/moved", &[boxes, &start], Vec::new());
    let scaled = builder.node("Mul", "boxes/scaled", &[&moved, &scale], Vec::new());
    let right = builder.node("Max", "boxes/from_zero", &[&scaled, &zero], Vec::new());
    builder.named_node("Min", output, &[&right, &size], &[output], Vec::new());
}

/// Whether something of each clipped box is in the picture: `[found]`.
fn is_in_picture(builder: &mut GraphBuilder, boxes: &str) -> String {
    let [left, top, right, bottom] = ["left", "top", "right", "bottom"];
    let mut exceeds = |last: &str, first: &str, columns: [i64; 2]| {
        let mut side = |name: &str, column: i64| {
            let name = format!("kept/{name}");
            let column = builder.scalar(&format!("{name}/column"), Scalar::Integer(column));
            builder.node("Gather", &name, &[boxes, &column], vec![integer("axis", 1)])
        };
        let sides = [side(last, columns[0]), side(first, columns[1])];
        let name = format!("kept/{last}_of_{first}");
        builder.node("Greater", &name, &[&sides[0], &sides[1]], Vec::new())
    };
    let is_wide = exceeds(right, left, [2, 0]);
    let is_high = exceeds(bottom, top, [3, 1]);
    builder.node(
        "And",
        "kept/is_in_picture",
        &[&is_wide, &is_high],
        Vec::new(),
    )
}

/// The objects that non-maximum suppression leaves: of each picture the highest score first, and no more than
/// `selection.boxes`, without those of which nothing is in the picture.
fn selected(builder: &mut GraphBuilder, placement: Option<Placement>, selection: Selection) {
    let found = suppressed(builder, selection);
    let column = |builder: &mut GraphBuilder, name: &str, index: i64| {
        let index = builder.scalar(&format!("{name}/column"), Scalar::Integer(index));
        builder.node("Gather", name, &[&found, &index], vec![integer("axis", 1)])
    };
    let images = column(builder, "found/images", 0);
    let classes = column(builder, "found/classes", 1);
    let inputs = [POINT_SCORES, &found];
    let scores = builder.node("GatherND", "found/scores", &inputs, Vec::new());
    let places = builder.integers("found/places/columns", &[0, 2]);
    let along = vec![integer("axis", 1)];
    let places = builder.node("Gather", "found/places", &[&found, &places], along);
    let inputs = [POINT_BOXES, &places];
    let boxes = builder.node("GatherND", "found/boxes", &inputs, Vec::new());
    let order = order(builder, &images, &scores, selection.boxes);
    let others = [(SCORES, scores), (CLASSES, classes), (IMAGES, images)];
    let Some(placement) = placement else {
        for (output, values) in [(BOXES, boxes)].into_iter().chain(others) {
            builder.named_node("Gather", output, &[&values, &order], &[output], Vec::new());
        }
        return;
    };
    let boxes = builder.node("Gather", "kept/boxes", &[&boxes, &order], Vec::new());
    let clipped = "kept/clipped";
    in_picture(builder, &boxes, placement, clipped);
    let is_in_picture = is_in_picture(builder, clipped);
    let order = [&*order, &is_in_picture];
    let along = || vec![integer("axis", 0)];
    let order = builder.node("Compress", "kept/order", &order, along());
    let inputs = [clipped, &is_in_picture];
    builder.named_node("Compress", BOXES, &inputs, &[BOXES], along());
    for (output, values) in others {
        builder.named_node("Gather", output, &[&values, &order], &[output], Vec::new());
    }
}

/// `[found, 3]`: picture, class and point of each box that no better one of its class overlaps.
fn suppressed(builder: &mut GraphBuilder, selection: Selection) -> String {
    let most = builder.integers("suppression/boxes", &[selection.boxes as i64]);
    let overlap = builder.floats(&["suppression/overlap"], &[1], &[selection.overlap]);
    // ONNX keeps what is above the threshold, predict what reaches it.
    let below = selection.confidence.next_down();
    let confidence = builder.floats(&["suppression/confidence"], &[1], &[below]);
    builder.node(
        "NonMaxSuppression",
        "suppression",
        &[POINT_BOXES, POINT_SCORES, &most, &overlap, &confidence],
        Vec::new(),
    )
}

/// The order of the found boxes by picture and falling score, at most `most` of each picture: `[kept]`.
fn order(builder: &mut GraphBuilder, images: &str, scores: &str, most: usize) -> String {
    let node = |builder: &mut GraphBuilder, operator: &str, name: &str, inputs: &[&str]| {
        builder.node(operator, &format!("order/{name}"), inputs, Vec::new())
    };
    let as_double = |builder: &mut GraphBuilder, name: &str, value: &str| {
        let to = vec![integer("to", element::DOUBLE.into())];
        builder.node("Cast", &format!("order/{name}"), &[value], to)
    };
    // Scores are at most 1, so pictures that are 2 apart do not mix.
    let two = builder.doubles("order/two", &[2.0]);
    let picture = as_double(builder, "picture", images);
    let picture = node(builder, "Mul", "picture_key", &[&picture, &two]);
    let score = as_double(builder, "score", scores);
    let key = node(builder, "Sub", "key", &[&score, &picture]);
    let count = node(builder, "Shape", "count", &[&key]);
    builder.named_node(
        "TopK",
        "order/falling",
        &[&key, &count],
        &["order/keys", "order/all"],
        vec![integer("axis", 0)],
    );
    let sorted = node(builder, "Gather", "pictures", &[images, "order/all"]);
    let rank = rank(builder, &sorted, &count);
    let most = builder.integers("order/most", &[most as i64]);
    let is_kept = node(builder, "Less", "is_kept", &[&rank, &most]);
    let along = vec![integer("axis", 0)];
    builder.node("Compress", "order/kept", &["order/all", &is_kept], along)
}

/// The place of each box among those of its picture, from the sorted indices of pictures: `[found]`.
fn rank(builder: &mut GraphBuilder, sorted: &str, count: &str) -> String {
    let node = |builder: &mut GraphBuilder, operator: &str, name: &str, inputs: &[&str]| {
        builder.node(operator, &format!("order/{name}"), inputs, Vec::new())
    };
    let zero = builder.scalar("order/zero", Scalar::Integer(0));
    let one = builder.scalar("order/one", Scalar::Integer(1));
    let shape = node(builder, "Shape", "shape", &[POINT_SCORES]);
    let batch = node(builder, "Gather", "batch", &[&shape, &zero]);
    let pictures = node(builder, "Range", "numbers", &[&zero, &batch, &one]);
    let first = builder.integers("order/first", &[0]);
    let last = builder.integers("order/last", &[1]);
    let by_box = node(builder, "Unsqueeze", "by_box", &[sorted, &last]);
    let is_of = node(builder, "Equal", "is_of", &[&by_box, &pictures]);
    let to = vec![integer("to", element::INT64.into())];
    let is_of = builder.node("Cast", "order/ones", &[&is_of], to);
    let keep = vec![integer("keepdims", 0)];
    let counts = builder.node("ReduceSum", "order/counts", &[&is_of, &first], keep);
    let before = vec![integer("exclusive", 1)];
    let starts = builder.node("CumSum", "order/starts", &[&counts, &zero], before);
    let start = node(builder, "Gather", "start", &[&starts, sorted]);
    let flat = node(builder, "Squeeze", "length", &[count]);
    let places = node(builder, "Range", "places", &[&zero, &flat, &one]);
    node(builder, "Sub", "rank", &[&places, &start])
}
