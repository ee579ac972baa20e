//! Bytes move between the processes of an `mpirun`. The test starts this program again under it: there it finds itself
//! to be a rank, and does a rank's part.

#![cfg(feature = "mpi")]

use std::process::Command;

use warmstart_ranks::Ranks;

/// Set in the processes that `mpirun` starts.
const IS_RANK: &str = "WARMSTART_TEST_RANKS";
/// Bytes of a part that is sent in more than one packet.
const MANY: usize = 300_000;

#[test]
fn bytes_move_between_the_processes_of_mpirun() {
    match std::env::var(IS_RANK) {
        Ok(count) => rank_part(count.parse().unwrap()),
        Err(_) => {
            for ranks in [1, 3, 4] {
                mpirun(ranks);
            }
        }
    }
}

/// Runs this test in so many processes.
fn mpirun(ranks: usize) {
    let version = Command::new("mpirun").arg("--version").output().unwrap();
    let mut command = Command::new("mpirun");
    if String::from_utf8_lossy(&version.stdout).contains("Open MPI") {
        command.args(["--oversubscribe", "--allow-run-as-root"]);
    }
    command
        .args(["-n", &ranks.to_string()])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "bytes_move_between_the_processes_of_mpirun",
            "--nocapture",
        ])
        .env(IS_RANK, ranks.to_string());
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{ranks} ranks: {said}");
    assert_eq!(said.matches("a rank is done").count(), ranks, "{said}");
}

/// What rank `from` sends to rank `to`: the parts differ, and some are empty.
fn part(from: usize, to: usize) -> Vec<u8> {
    let bytes = match (from + 2 * to) % 4 {
        0 => 0,
        1 => MANY + from,
        few => 10 * few + to,
    };
    (0..bytes)
        .map(|byte| (byte + from * 7 + to) as u8)
        .collect()
}

fn rank_part(count: usize) {
    let ranks = Ranks::start().unwrap();
    assert_eq!(ranks.count(), count);
    assert_eq!(ranks.is_alone(), count == 1);
    assert_eq!(ranks.on_this_machine(), count);
    assert!(ranks.started_by_mpi());
    assert!(!ranks.host().is_empty());
    let rank = ranks.rank();
    assert_eq!(ranks.is_first(), rank == 0);
    let received = ranks.exchange((0..count).map(|to| part(rank, to)).collect());
    for (from, received) in received.iter().enumerate() {
        assert!(*received == part(from, rank), "{from} to {rank}");
    }
    let none = ranks.exchange(vec![Vec::new(); count]);
    assert!(none.iter().all(Vec::is_empty));
    let all = ranks.gather_all(part(rank, 1));
    for (from, received) in all.iter().enumerate() {
        assert!(*received == part(from, 1), "of {from} at {rank}");
    }
    // Some send nothing at all while others do.
    let sends = |rank: usize| rank.is_multiple_of(2);
    let of = |from: usize| vec![from as u8; if sends(from) { MANY } else { 0 }];
    let received = ranks.exchange(vec![of(rank); count]);
    let gathered = ranks.gather_all(of(rank));
    for from in 0..count {
        assert!(
            received[from] == of(from) && gathered[from] == of(from),
            "of {from} at {rank}"
        );
    }
    let nothing = ranks.gather_all(Vec::new());
    assert_eq!(nothing, vec![Vec::<u8>::new(); count]);
    assert!(ranks.broadcast(vec![rank as u8; MANY]) == vec![0; MANY]);
    let empty = if ranks.is_first() {
        Vec::new()
    } else {
        vec![1]
    };
    assert!(ranks.broadcast(empty).is_empty());
    // Another thread may call, too, with a clone.
    let clone = ranks.clone();
    let numbers = std::thread::spawn(move || clone.gather_all(vec![rank as u8]));
    let expected: Vec<Vec<u8>> = (0..count).map(|rank| vec![rank as u8]).collect();
    assert_eq!(numbers.join().unwrap(), expected);
    say("a rank is done");
}

#[allow(
    clippy::print_stdout,
    reason = "the test that started this process reads it"
)]
fn say(words: &str) {
    println!("{words}");
}
