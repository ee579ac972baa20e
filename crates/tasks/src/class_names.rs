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

/// [`places_in`], but with each known class given away once: to the class of the same name, or else to the first that is
/// spelled otherwise.
pub fn own_places_in(known: &[String], classes: &[String]) -> Vec<Option<usize>> {
    let same = |class: &String| known.iter().position(|name| name == class);
    let mut places: Vec<Option<usize>> = classes.iter().map(same).collect();
    let mut is_taken = vec![false; known.len()];
    for place in places.iter().flatten() {
        is_taken[*place] = true;
    }
    let spelled: Vec<String> = known.iter().map(|name| plain(name)).collect();
    for (place, class) in places.iter_mut().zip(classes) {
        if place.is_some() {
            continue;
        }
        let class = plain(class);
        let mut free = (0..known.len()).filter(|&index| !is_taken[index]);
        *place = free.find(|&index| spelled[index] == class);
        if let Some(index) = *place {
            is_taken[index] = true;
        }
    }
    places
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

    #[test]
    fn a_known_class_is_given_away_once_to_its_own_name_or_else_to_the_first() {
        let known = names(&["person", "car", "airplane"]);
        let own = |classes: &[&str]| own_places_in(&known, &names(classes));
        assert_eq!(own(&["Car", "car", "c a r"]), [None, Some(1), None]);
        assert_eq!(own(&["CAR", "Car", "person"]), [Some(1), None, Some(0)]);
        assert_eq!(own(&["aeroplane", "airplane"]), [None, Some(2)]);
        let twins = names(&["Car", "car"]);
        let all = own_places_in(&twins, &names(&["CAR", "car", "c-a-r"]));
        assert_eq!(all, [Some(0), Some(1), None]);
    }
}
