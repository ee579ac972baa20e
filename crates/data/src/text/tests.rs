use super::*;

fn text(bytes: &[u8]) -> Text {
    decoded(bytes.to_vec(), is_plausible).unwrap_or_else(|error| panic!("{bytes:x?}: {error:?}"))
}

fn refusal(bytes: &[u8]) -> (usize, String) {
    let error = decoded(bytes.to_vec(), is_plausible).unwrap_err();
    (error.line, error.problem)
}

fn in_encoding(label: &str, text: &str) -> Vec<u8> {
    let encoding = encoding(label).unwrap();
    if encoding == UTF_16LE {
        return text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    }
    if encoding == UTF_16BE {
        return text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    }
    let (bytes, _, lossy) = encoding.encode(text);
    assert!(!lossy, "{text} in {label}");
    bytes.into_owned()
}

#[test]
fn xml_is_read_in_the_encoding_that_it_declares() {
    for (label, name) in [
        ("GBK", "图片"),
        ("gb2312", "图片"),
        ("GB18030", "镕㐀"),
        ("cp936", "汽车"),
        ("Big5", "貓"),
        ("Shift_JIS", "猫"),
        ("cp932", "ネコ"),
        ("EUC-JP", "ねこ"),
        ("EUC-KR", "고양이"),
        ("ISO-8859-1", "café"),
        ("latin-1", "café"),
        ("latin_1", "Straße"),
        ("windows-1252", "naïve – €"),
        ("iso-8859-2", "Łódź"),
        ("windows-1251", "кошка"),
        ("KOI8-R", "кошка"),
        ("utf-8", "图片"),
        ("UTF8", "图片"),
        ("utf_8", "图片"),
    ] {
        for quote in ["\"", "'"] {
            let xml =
                format!("<?xml version='1.0' encoding = {quote}{label}{quote} ?>\n<a>{name}</a>");
            let text = text(&in_encoding(label, &xml));
            assert_eq!(*text, *xml);
            assert_eq!(text.assumed, None, "{label}");
        }
    }
}

#[test]
fn byte_order_marks_and_zeros_decide_before_a_declaration() {
    for declared in ["", "<?xml version=\"1.0\" encoding=\"GBK\"?>\r\n"] {
        let content = format!("{declared}<a>图片 café</a>");
        let utf_8 = [b"\xef\xbb\xbf", content.as_bytes()].concat();
        let little = in_encoding("utf-16le", &content);
        let big = in_encoding("utf-16be", &content);
        for bytes in [
            utf_8,
            [b"\xff\xfe", &little[..]].concat(),
            [b"\xfe\xff", &big[..]].concat(),
            little,
            big,
        ] {
            let text = text(&bytes);
            assert_eq!(*text, *content);
            assert_eq!(text.assumed, None);
        }
    }
    assert_eq!(
        *text(&in_encoding("utf-16le", "图片\r\n猫\r\n")),
        *"图片\r\n猫\r\n"
    );
    assert_eq!(*text(b"cats \0 dogs."), *"cats \0 dogs.");
    assert_eq!(*text(b""), *"");
    assert_eq!(*text(b"\xff\xfe"), *"");
}

#[test]
fn a_declaration_that_the_bytes_refute_is_named() {
    let xml = "<?xml version=\"1.0\" encoding=\"LABEL\"?><a>图片 café</a>";
    for label in ["GBK", "ISO-8859-1", "Big5", "UTF-7"] {
        let xml = xml.replace("LABEL", label);
        let text = text(xml.as_bytes());
        assert_eq!(*text, *xml);
        let assumed = text.assumed.unwrap();
        assert!(assumed.contains(label), "{assumed}");
        assert!(
            assumed.ends_with("read as UTF-8, which gives \"图片\""),
            "{assumed}"
        );
    }
    // .NET declares UTF-16 in what it then writes as UTF-8.
    let utf_16 = xml.replace("LABEL", "utf-16");
    assert_eq!(text(utf_16.as_bytes()).assumed, None);
    let ascii = xml.replace("LABEL", "no such").replace("图片 café", "cat");
    assert_eq!(text(ascii.as_bytes()).assumed, None);
    let gbk = in_encoding(
        "gbk",
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><a>图片</a>",
    );
    let assumed = text(&gbk).assumed.unwrap();
    assert_eq!(
        assumed,
        "it declares the encoding \"UTF-8\", which its bytes do not look like; read as GBK, which gives \"图片\""
    );
}

#[test]
fn lists_in_gbk_are_read_and_the_guess_is_said() {
    for names in [
        "图片\n",
        "图片\n汽车\n",
        "cat\n猫\n狗\n",
        "1 红绿灯（大）\r\n",
        "人",
    ] {
        let text = text(&in_encoding("gbk", names));
        assert_eq!(*text, *names);
        let assumed = text.assumed.unwrap();
        assert!(assumed.contains("read as GBK"), "{assumed}");
    }
}

#[test]
fn names_in_utf_8_are_not_taken_for_gbk() {
    for names in [
        "café\n",
        "épée\n",
        "Köter\nMöwe",
        "кот\nдом\n",
        "γάτα",
        "חתול",
        "قط",
        "猫\n",
        "Łódź",
        "25°",
        "ăn cơm",
        "mèo",
        "日本",
    ] {
        let text = text(names.as_bytes());
        assert_eq!((&*text, &text.assumed), (names, &None));
    }
}

#[test]
fn letters_of_any_living_language_stay_utf_8() {
    for name in [
        "Hawaiʻi",
        "Oʻahu",
        "Камʼянець",
        "ʿAbd al-Qādir",
        "qurʾān",
        "e\u{301}te\u{301}",
        "ɲɔ ni ɣaŋ",
        "ƴiite",
        "ǧoahtti",
        "Ṭanṭā",
        "ἄνθρωπος",
        "5 € → ½ kg – “x” ℃",
        "ქართული",
        "հայերեն",
        "አማርኛ",
        "ខ្មែរ",
        "हिन्दी",
        "தமிழ்",
        "ԛԝа",
        "ދިވެހި",
    ] {
        let xml = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><a>{name}</a>");
        for content in [name, &xml, &format!("{name}\ncat\n")] {
            let text = text(content.as_bytes());
            assert_eq!((&*text, &text.assumed), (content, &None));
        }
    }
}

#[test]
fn declared_utf_8_and_json_stay_utf_8_however_rare_a_letter_is() {
    for name in ["ƿ", "ͼ", "ͻ", "ƻƿ"] {
        let xml = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><a>{name}</a>");
        assert_eq!(text(xml.as_bytes()).assumed, None, "{name}");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.json");
        let json = format!("{{\"name\": \"{name}\"}}");
        std::fs::write(&file, &json).unwrap();
        let text = read_json_text(&file).unwrap();
        assert_eq!((&*text, &text.assumed), (&*json, &None));
    }
}

#[test]
fn what_is_in_another_encoding_of_pairs_is_not_taken_for_gbk() {
    for (label, names) in [
        ("big5", "貓\n狗\n汽車\n行人\n"),
        ("big5", "紅綠燈\n交通標誌\n"),
        ("euc-jp", "猫\nいぬ\n自転車\n"),
        ("euc-jp", "ネコ\n犬\n"),
        ("euc-kr", "고양이\n강아지\n자동차\n"),
    ] {
        let (_, problem) = refusal(&in_encoding(label, names));
        assert!(problem.starts_with("expected text in UTF-8"), "{names}");
    }
}

#[test]
fn what_is_neither_utf_8_nor_clearly_gbk_is_refused_with_its_line() {
    for (label, names, line, byte) in [
        ("latin1", "cat\nélan\néléphant\n", 2, "e9"),
        ("latin1", "Löwe\n", 1, "f6"),
        ("windows-1251", "кот\nсобака\n", 1, "ea"),
        ("windows-1251", "собака\n", 1, "f1"),
        ("shift_jis", "dog\ncat\n猫犬\n", 3, "94"),
    ] {
        let (at, problem) = refusal(&in_encoding(label, names));
        assert_eq!(at, line, "{names}");
        assert_eq!(
            problem,
            format!("expected text in UTF-8, found the byte 0x{byte}")
        );
    }
}

#[test]
fn broken_text_names_its_line() {
    let gbk = b"<?xml version='1.0' encoding='gbk'?>\n<a>\xcd\xbc\n\xff</a>";
    let (line, problem) = refusal(gbk);
    assert_eq!(line, 3);
    assert!(
        problem.starts_with("expected text in GBK, found the byte 0xff"),
        "{problem}"
    );
    assert_eq!(refusal(b"\xff\xfea\0\n\0\x00\xd8b\0").0, 2);
    assert_eq!(refusal(b"\xef\xbb\xbfa\n\xcd").0, 2);
    assert!(refusal(b"\xff\xfe\0\0a\0\0\0").1.contains("UTF-32"));
    let unknown = b"<?xml version='1.0' encoding='klingon'?><a>\xe9</a>";
    assert!(refusal(unknown).1.contains("0xe9"));
}

#[test]
fn a_sparse_file_and_a_pipe_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.xml");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(100 << 30).unwrap();
    let message = read_text(&path).unwrap_err().to_string();
    assert!(message.contains("more than the limit"), "{message}");
    #[cfg(unix)]
    {
        let pipe = folder.path().join("pipe.txt");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let message = read_text(&pipe).unwrap_err().to_string();
        assert!(message.contains("it is a pipe"), "{message}");
    }
}
