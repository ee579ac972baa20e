//! Classes of two lists that are the same, however they are spelled.

/// Other names of COCO's classes, without separators: those of Pascal VOC, and other spellings.
const SYNONYMS: [(&str, &str); 6] = [
    ("aeroplane", "airplane"),
    ("motorbike", "motorcycle"),
    ("sofa", "couch"),
    ("tvmonitor", "tv"),
    ("doughnut", "donut"),
    ("hairdryer", "hairdrier"),
];

/// The index of each class in a list of known ones; `None` for a class that is not there. A class of the same name
/// comes before one that only case, spaces, `_` and `-` tell apart, or that another data set calls so.
pub fn places_in(known: &[String], classes: &[String]) -> Vec<Option<usize>> {
    let spelled: Vec<String> = known.iter().map(|name| plain(name)).collect();
    let place = |class: &String| {
        let same = known.iter().position(|name| name == class);
        same.or_else(|| {
            let class = plain(class);
            spelled.iter().position(|name| *name == class)
        })
    };
    classes.iter().map(place).collect()
}

/// Whether two lists have the same classes in the same order.
pub fn are_same(known: &[String], classes: &[String]) -> bool {
    let all = (0..known.len()).map(Some);
    known.len() == classes.len() && all.eq(places_in(known, classes))
}

/// A name in lower case without separators, as COCO has it.
fn plain(name: &str) -> String {
    let name = name.to_lowercase().replace([' ', '_', '-'], "");
    let synonym = SYNONYMS.iter().find(|(other, _)| *other == name);
    synonym.map_or(name, |(_, coco)| (*coco).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_class_is_known_by_any_spelling_and_by_the_name_that_voc_has_for_it() {
        let coco = names(&[
            "person",
            "airplane",
            "couch",
            "tv",
            "traffic light",
            "potted plant",
        ]);
        let own = names(&[
            "Traffic-Light",
            "aeroplane",
            "pottedplant",
            "tvmonitor",
            "sofa",
            "cat",
            "person",
        ]);
        let expected = [Some(4), Some(1), Some(5), Some(3), Some(2), None, Some(0)];
        assert_eq!(places_in(&coco, &own), expected);
    }

    #[test]
    fn the_same_name_comes_before_a_similar_one() {
        let known = names(&["Car", "car"]);
        assert_eq!(places_in(&known, &names(&["car"])), [Some(1)]);
        assert!(are_same(&known, &known));
        assert!(!are_same(&known, &names(&["car", "Car"])));
        assert!(!are_same(&known, &names(&["Car"])));
    }
}
