use super::*;

const LIMIT: u64 = 1 << 20;

fn folder(limit: u64) -> (tempfile::TempDir, FeatureCacheFolder) {
    let place = tempfile::tempdir().unwrap();
    let folder = FeatureCacheFolder::new(place.path().join("cache"), limit);
    (place, folder)
}

#[test]
fn what_was_written_is_there_for_the_next_who_opens_it() {
    let (_place, folder) = folder(LIMIT);
    let cache = folder.open("a", "the model", 3, 2, &[]).unwrap();
    assert_eq!(cache.read(1), None);
    cache.write(1, &[0.5, -0.0]).unwrap();
    let again = folder.open("a", "the model", 3, 2, &[]).unwrap();
    let found = again.read(1).unwrap();
    assert_eq!(
        found.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
        [0.5f32.to_bits(), (-0.0f32).to_bits()]
    );
    assert_eq!((again.read(0), again.read(2)), (None, None));
    assert_eq!((again.present(), again.entries()), (1, 3));
    assert_eq!(folder.files().unwrap()[0].description, "the model");
}

#[test]
fn a_file_is_found_only_if_it_is_there_and_as_long_as_its_entries() {
    let (_place, folder) = folder(LIMIT);
    assert!(folder.find("a", 3, &[]).is_none() && !folder.path().exists());
    let cache = folder.open("a", "the model", 3, 2, &[]).unwrap();
    cache.write(1, &[0.5, 2.0]).unwrap();
    let found = folder.find("a", 3, &[]).unwrap();
    assert_eq!(found.read(1), Some(vec![0.5, 2.0]));
    assert_eq!(
        [0, 1, 2].map(|entry| found.is_written(entry)),
        [false, true, false]
    );
    assert!(folder.find("a", 4, &[]).is_none() && folder.find("b", 3, &[]).is_none());
    let smaller = FeatureCacheFolder::new(folder.path().to_owned(), 2 * cache.bytes() - 1);
    assert!(smaller.find("a", 3, &[]).is_some());
    assert!(smaller.find("a", 3, &[&cache]).is_none());
    fs::write(cache.path(), "cut short").unwrap();
    assert!(folder.find("a", 3, &[]).is_none());
}

#[test]
fn a_damaged_entry_counts_as_missing() {
    let (_place, folder) = folder(LIMIT);
    let cache = folder.open("a", "", 2, 4, &[]).unwrap();
    for entry in [0, 1] {
        cache.write(entry, &[1.0; 4]).unwrap();
    }
    let whole = fs::read(cache.path()).unwrap();
    for place in HEADER as usize..HEADER as usize + entry_len(4) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        fs::write(cache.path(), bytes).unwrap();
        assert_eq!(cache.read(0), None, "byte {place}");
        assert_eq!(cache.read(1), Some(vec![1.0; 4]));
    }
    fs::write(cache.path(), &whole[..whole.len() - 1]).unwrap();
    assert_eq!(cache.read(1), None);
    // The next who opens it makes it whole again.
    let repaired = folder.open("a", "", 2, 4, &[]).unwrap();
    assert_eq!(
        (repaired.read(0), repaired.read(1)),
        (Some(vec![1.0; 4]), None)
    );
}

#[test]
fn an_entry_at_another_place_is_none() {
    let (_place, folder) = folder(LIMIT);
    let cache = folder.open("a", "", 2, 1, &[]).unwrap();
    cache.write(0, &[1.0]).unwrap();
    let mut bytes = fs::read(cache.path()).unwrap();
    let (first, len) = (HEADER as usize, entry_len(1));
    bytes.copy_within(first..first + len, first + len);
    fs::write(cache.path(), bytes).unwrap();
    assert_eq!((cache.read(0), cache.read(1)), (Some(vec![1.0]), None));
}

#[test]
fn what_was_not_used_for_longest_makes_room() {
    let one = HEADER + entry_len(8) as u64;
    let (_place, folder) = folder(2 * one);
    for (age, key) in [(3, "a"), (2, "b")] {
        let cache = folder.open(key, key, 1, 8, &[]).unwrap();
        let used = SystemTime::now() - std::time::Duration::from_secs(age);
        let times = FileTimes::new().set_modified(used);
        cache.file.set_times(times).unwrap();
    }
    folder.open("a", "a", 1, 8, &[]).unwrap();
    folder.open("c", "c", 1, 8, &[]).unwrap();
    let left: Vec<_> = folder.files().unwrap();
    let mut left: Vec<_> = left.iter().map(|file| file.description.as_str()).collect();
    left.sort_unstable();
    assert_eq!(left, ["a", "c"]);
    let error = folder.open("d", "", 300, 8, &[]).unwrap_err().to_string();
    assert!(error.contains("the limit is"), "{error}");
    assert_eq!(folder.clear().unwrap().len(), 2);
    assert!(folder.files().unwrap().is_empty());
}

#[test]
fn files_of_one_run_do_not_make_room_for_each_other() {
    let one = HEADER + entry_len(8) as u64;
    let (_place, folder) = folder(2 * one);
    let training = folder.open("a", "", 1, 8, &[]).unwrap();
    let both = folder.open("b", "", 1, 8, &[&training]);
    assert!(both.is_ok() && folder.files().unwrap().len() == 2);
    let (_place, folder) = self::folder(2 * one - 1);
    let training = folder.open("a", "", 1, 8, &[]).unwrap();
    assert!(folder.open("b", "", 1, 8, &[&training]).is_err());
    assert_eq!(folder.files().unwrap().len(), 1);
}

#[test]
fn what_somebody_else_put_there_stays() {
    let (_place, folder) = folder(LIMIT);
    let cache = folder.open("a", "the model", 1, 2, &[]).unwrap();
    cache.write(0, &[0.5; 2]).unwrap();
    let theirs = folder.path().join("thesis.features");
    fs::write(&theirs, "two years of work").unwrap();
    fs::create_dir(folder.path().join("folder.features")).unwrap();
    assert_eq!(folder.clear().unwrap().len(), 1);
    assert!(theirs.exists() && !cache.path().exists());
}

#[test]
fn a_damaged_header_is_repaired() {
    let (_place, folder) = folder(LIMIT);
    let cache = folder.open("a", "the model", 1, 2, &[]).unwrap();
    cache.write(0, &[0.5; 2]).unwrap();
    write_at(&cache.file, &[0; 64], 0).unwrap();
    let repaired = folder.open("a", "the model", 1, 2, &[]).unwrap();
    assert_eq!(repaired.read(0), Some(vec![0.5; 2]));
    assert_eq!(folder.files().unwrap()[0].description, "the model");
}

#[test]
fn parts_of_a_file_are_merged_to_the_bytes_of_one_that_was_filled_at_once() {
    let values = |entry: usize| vec![entry as f32, 0.1];
    let filled = |entries: &[usize]| {
        let (place, folder) = folder(LIMIT);
        let cache = folder.open("a", "the model", 5, 2, &[]).unwrap();
        for &entry in entries {
            cache.write(entry, &values(entry)).unwrap();
        }
        (place, cache)
    };
    let (_place, whole) = filled(&[0, 1, 2, 3, 4]);
    let parts = [filled(&[3, 4]), filled(&[0, 3]), filled(&[2, 1])];
    let (_place, out) = folder(LIMIT);
    let merged = parts.each_ref().map(|(_, part)| {
        let merged = out.merge(part.path()).unwrap();
        (merged.copied, merged.present, merged.entries)
    });
    assert_eq!(merged, [(2, 2, 5), (1, 3, 5), (2, 5, 5)]);
    let path = out.path().join("a.features");
    assert_eq!(fs::read(&path).unwrap(), fs::read(whole.path()).unwrap());
    assert_eq!(FeatureCache::survey(&path).unwrap().present, 5);
}

#[test]
fn a_damaged_entry_is_not_merged_and_a_file_of_odd_size_is_refused() {
    let (_place, from) = folder(LIMIT);
    let cache = from.open("a", "the model", 2, 1, &[]).unwrap();
    cache.write(0, &[1.0]).unwrap();
    cache.write(1, &[2.0]).unwrap();
    let whole = fs::read(cache.path()).unwrap();
    let (_place, out) = folder(LIMIT);
    let mut bytes = whole.clone();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(cache.path(), bytes).unwrap();
    let merged = out.merge(cache.path()).unwrap();
    assert_eq!((merged.copied, merged.present), (1, 1));
    for odd in [&whole[..whole.len() - 1], &whole[..100], b"nothing of ours"] {
        fs::write(cache.path(), odd).unwrap();
        assert!(out.merge(cache.path()).is_err());
    }
    // What an earlier version wrote says nothing of its size.
    let mut bytes = whole.clone();
    bytes[MAGIC.len() + "the model\n".len()..HEADER as usize].fill(0);
    fs::write(cache.path(), bytes).unwrap();
    let error = out.merge(cache.path()).unwrap_err().to_string();
    assert!(error.contains("an earlier version"), "{error}");
    // Sizes that no file has.
    let mut bytes = header("the model", [usize::MAX, usize::MAX]);
    bytes.extend(&whole[HEADER as usize..]);
    fs::write(cache.path(), bytes).unwrap();
    assert!(out.merge(cache.path()).is_err());
}

#[test]
fn other_features_under_the_same_name_are_refused_and_stay() {
    let (_place, from) = folder(LIMIT);
    let cache = from.open("a", "the model", 2, 1, &[]).unwrap();
    for (description, entries) in [("another model", 2), ("the model", 3)] {
        let (_place, out) = folder(LIMIT);
        let there = out.open("a", description, entries, 1, &[]).unwrap();
        there.write(0, &[0.5]).unwrap();
        let before = fs::read(there.path()).unwrap();
        let error = out.merge(cache.path()).unwrap_err().to_string();
        assert!(error.contains("has other features"), "{error}");
        assert_eq!(fs::read(there.path()).unwrap(), before);
    }
}

#[test]
fn of_many_that_make_a_file_at_once_each_fills_the_same() {
    let (_place, folder) = folder(LIMIT);
    std::thread::scope(|scope| {
        for entry in 0..16 {
            let folder = &folder;
            scope.spawn(move || {
                let cache = folder.open("a", "the model", 16, 1, &[]).unwrap();
                cache.write(entry, &[entry as f32]).unwrap();
            });
        }
    });
    let cache = folder.find("a", 16, &[]).unwrap();
    assert_eq!(cache.present(), 16);
}

#[test]
fn a_folder_that_is_not_there_has_no_files() {
    let (_place, folder) = folder(LIMIT);
    assert!(folder.files().unwrap().is_empty());
    assert!(folder.clear().unwrap().is_empty());
}
