use super::*;

fn key(word: &str) -> PartKey {
    let mut key = PartKey::of("predict");
    key.add(word.as_bytes());
    key
}

fn write(folder: &Path, word: &str, (number, of): (usize, usize), content: &str) -> PathBuf {
    let part = Part::new(
        folder,
        "predict",
        &key(word),
        (Shard { number, of }, 2),
        "model pictures".to_owned(),
    );
    part.write::<Error>(|out| {
        out.write_all(content.as_bytes()).unwrap();
        Ok(1)
    })
    .unwrap();
    assert!(part.is_there());
    part.path().to_owned()
}

fn joined(folder: &Path, key: Option<&str>) -> Result<String, String> {
    let all = AllParts::find(&[folder.to_owned()], key).map_err(|error| error.to_string())?;
    let mut text = String::new();
    for part in &all.parts {
        part.content().unwrap().read_to_string(&mut text).unwrap();
    }
    let parts = all.parts.len();
    assert_eq!(all.unreadable(), (parts, 2 * parts));
    Ok(text)
}

#[test]
fn parts_are_joined_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("parts");
    for number in [3, 1, 2] {
        write(&folder, "a", (number, 3), &format!("{number}\n"));
    }
    assert_eq!(joined(&folder, None), Ok("1\n2\n3\n".to_owned()));
    assert!(has_parts(&folder) && !has_parts(&folder.join("none")));
}

#[test]
fn missing_parts_are_named_with_the_command_that_computes_one() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a", (2, 4), "");
    let error = joined(folder.path(), None).unwrap_err();
    for words in [
        "of 4 parts, these are missing: 1, 3, 4",
        "`warmstart predict --shard 1/4 model pictures`",
    ] {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn results_of_several_keys_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a", (1, 1), "a");
    write(folder.path(), "b", (1, 1), "b");
    let error = joined(folder.path(), None).unwrap_err();
    let name = key("b").name();
    assert!(
        error.contains("several results") && error.contains(&name),
        "{error}"
    );
    assert_eq!(joined(folder.path(), Some(&name)), Ok("b".to_owned()));
    assert!(
        joined(folder.path(), Some("0123"))
            .unwrap_err()
            .contains("0123")
    );
}

#[test]
fn work_that_was_cut_in_two_ways_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a", (1, 1), "");
    write(folder.path(), "a", (1, 2), "");
    let error = joined(folder.path(), None).unwrap_err();
    assert!(error.contains("two ways: 1 and 2"), "{error}");
}

#[test]
fn a_part_that_is_there_twice_is_taken_once_and_refused_where_its_contents_differ() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let paths = folders.each_ref().map(|folder| folder.path().to_owned());
    write(&paths[0], "a", (1, 2), "one");
    write(&paths[0], "a", (2, 2), "two");
    write(&paths[1], "a", (2, 2), "two");
    assert_eq!(AllParts::find(&paths, None).unwrap().parts.len(), 2);
    write(&paths[1], "a", (2, 2), "another");
    let error = AllParts::find(&paths, None).err().unwrap().to_string();
    let words = "part 2 of 2 is there twice, with different content: remove one of the two";
    assert!(error.contains(words), "{error}");
}

#[test]
fn every_changed_byte_of_a_content_and_a_lost_header_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "a", (1, 1), "content");
    let whole = fs::read(&path).unwrap();
    let content = whole.len() - "content".len();
    for place in content..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        fs::write(&path, bytes).unwrap();
        let error = joined(folder.path(), None).unwrap_err();
        assert!(error.contains("checksum"), "{error}");
    }
    for odd in [&b""[..], b"{}\n", b"\n", &whole[..content - 1]] {
        fs::write(&path, odd).unwrap();
        let error = joined(folder.path(), None).unwrap_err();
        assert!(error.contains("not the header of a part"), "{error}");
    }
}

#[test]
fn what_fails_leaves_no_part() {
    let folder = tempfile::tempdir().unwrap();
    let shard = (Shard::whole(), 3);
    let part = Part::new(folder.path(), "eval", &key("a"), shard, String::new());
    let result = part.write(|_| Err(Error::usage("no image")));
    assert_eq!(result.unwrap_err().to_string(), "no image");
    assert!(!part.is_there() && !has_parts(folder.path()));
}
