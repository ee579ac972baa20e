use super::*;

fn find(word: &str, variables: &[(&str, &str)]) -> Result<String, String> {
    let word: ShardWord = word.parse().unwrap();
    let variable = |name: &str| {
        let found = variables.iter().find(|(of, _)| *of == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let found = word.find(variable);
    let found = found.map(|shard| shard.to_string());
    found.map_err(|error| error.to_string())
}

#[test]
fn shards_follow_each_other_and_differ_by_one_at_most() {
    for items in [0, 1, 6, 7, 8, 1000] {
        for of in [1, 2, 3, 7, 8] {
            let ranges = (1..=of).map(|number| Shard { number, of }.range(items));
            let ranges: Vec<_> = ranges.collect();
            assert_eq!((ranges[0].start, ranges[of - 1].end), (0, items));
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
            let lens: Vec<usize> = ranges.iter().map(ExactSizeIterator::len).collect();
            let (least, most) = (lens.iter().min().unwrap(), lens.iter().max().unwrap());
            assert!(most - least <= 1, "{items} in {of}: {lens:?}");
        }
    }
    let last = Shard {
        number: MOST,
        of: MOST,
    };
    assert_eq!(last.range(usize::MAX).end, usize::MAX);
    assert!(Shard::whole().is_whole() && !last.is_whole());
}

#[test]
fn a_shard_is_written_as_it_is_read() {
    for word in ["1/1", "3/8", "8/8"] {
        assert_eq!(word.parse::<Shard>().unwrap().to_string(), word);
    }
    for word in [
        "0/8", "9/8", "3", "3/", "/8", "-1/8", "3/8/2", "1/100001", "x/8", "",
    ] {
        assert!(word.parse::<Shard>().is_err(), "{word}");
        assert!(word.parse::<ShardWord>().is_err(), "{word}");
    }
    for word in ["auto/0", "auto/x", "auto/", "automatic", "auto8"] {
        assert!(word.parse::<ShardWord>().is_err(), "{word}");
    }
}

#[test]
fn the_environment_counts_only_where_it_is_asked_for() {
    let array = [
        ("SLURM_ARRAY_TASK_ID", "7"),
        ("SLURM_ARRAY_TASK_MIN", "5"),
        ("SLURM_ARRAY_TASK_COUNT", "4"),
    ];
    assert_eq!(find("2/3", &array), Ok("2/3".to_owned()));
    assert_eq!(find("auto", &array), Ok("3/4".to_owned()));
    assert_eq!(find("auto/4", &array), Ok("3/4".to_owned()));
}

#[test]
fn each_batch_system_names_its_task() {
    let with_step = [
        ("SLURM_ARRAY_TASK_ID", "8"),
        ("SLURM_ARRAY_TASK_MIN", "0"),
        ("SLURM_ARRAY_TASK_STEP", "4"),
        ("SLURM_ARRAY_TASK_COUNT", "3"),
    ];
    assert_eq!(find("auto", &with_step), Ok("3/3".to_owned()));
    for (word, variables, expected) in [
        ("auto/8", vec![("JOB_COMPLETION_INDEX", "0")], "1/8"),
        ("auto/8", vec![("HQ_TASK_ID", "7")], "8/8"),
        (
            "auto",
            vec![("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "4")],
            "2/4",
        ),
        ("auto", vec![("PMI_RANK", "3"), ("PMI_SIZE", "4")], "4/4"),
        (
            "auto",
            vec![("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "2")],
            "1/2",
        ),
        ("auto/8", vec![("PARALLEL_SEQ", "8")], "8/8"),
        // A shell that Slurm started alone, with GNU parallel in it.
        (
            "auto/8",
            vec![
                ("SLURM_PROCID", "0"),
                ("SLURM_STEP_NUM_TASKS", "1"),
                ("PARALLEL_SEQ", "3"),
            ],
            "3/8",
        ),
        ("auto", vec![("PMI_RANK", "0"), ("PMI_SIZE", "1")], "1/1"),
    ] {
        assert_eq!(
            find(word, &variables),
            Ok(expected.to_owned()),
            "{variables:?}"
        );
    }
}

#[test]
fn what_the_environment_does_not_say_is_asked_for_by_name() {
    for (word, variables, expected) in [
        ("auto", vec![], "none of these is set: SLURM_ARRAY_TASK_ID"),
        (
            "auto",
            vec![("JOB_COMPLETION_INDEX", "2")],
            "no variable says of how many: give the number of parts: --shard auto/8",
        ),
        (
            "auto/8",
            vec![("JOB_COMPLETION_INDEX", "8")],
            "JOB_COMPLETION_INDEX is 8, which stands for part 9, and the work has 8 parts",
        ),
        (
            "auto/8",
            vec![("HQ_TASK_ID", "8")],
            "number the tasks from 0 to 7",
        ),
        (
            "auto/8",
            vec![("PARALLEL_SEQ", "0")],
            "PARALLEL_SEQ is \"0\", which is not the number of a task",
        ),
        (
            "auto/8",
            vec![("HQ_TASK_ID", "two")],
            "HQ_TASK_ID is \"two\", which is not the number of a task",
        ),
        (
            "auto",
            vec![("SLURM_ARRAY_TASK_ID", "2")],
            "SLURM_ARRAY_TASK_ID is set, and SLURM_ARRAY_TASK_MIN is not",
        ),
        (
            "auto/8",
            vec![
                // One task of an array, started again by itself.
                ("SLURM_ARRAY_TASK_ID", "3"),
                ("SLURM_ARRAY_TASK_MIN", "3"),
                ("SLURM_ARRAY_TASK_COUNT", "1"),
            ],
            "--shard auto/8 asks for 8 parts, and SLURM_ARRAY_TASK_COUNT is 1",
        ),
    ] {
        let error = find(word, &variables).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_last_number_of_tasks_that_no_array_has_is_no_overflow() {
    let most = usize::MAX.to_string();
    let variables = [
        ("SLURM_ARRAY_TASK_ID", most.as_str()),
        ("SLURM_ARRAY_TASK_MIN", &most),
        ("SLURM_ARRAY_TASK_COUNT", &most),
    ];
    let error = find("auto", &variables).unwrap_err();
    let words = format!("number the tasks from {most} to {most}");
    assert!(error.contains(&words), "{error}");
}

#[test]
fn a_process_among_several_is_known() {
    let of = |variables: &[(&str, &str)]| {
        Shard::of_processes(|name| {
            let found = variables.iter().find(|(of, _)| *of == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    };
    let second = Shard { number: 2, of: 4 };
    assert_eq!(of(&[("PMI_RANK", "1"), ("PMI_SIZE", "4")]), Some(second));
    assert_eq!(of(&[("PMI_RANK", "0"), ("PMI_SIZE", "1")]), None);
    assert_eq!(of(&[("PMI_RANK", "x"), ("PMI_SIZE", "4")]), None);
    assert_eq!(of(&[]), None);
}
