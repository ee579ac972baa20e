//! Data from elsewhere: Parquet files, a bucket and a web server on this machine, and builds that read none of them.

use std::path::{Path, PathBuf};

use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;

use crate::common::{self, Said};

/// The pictures of `common::data` in Parquet files, which tests/fixtures/make_parquet.py writes.
fn parquet() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/parquet")
}

/// A small run on data at a place, with a cache of its own beside the run.
fn trained(data: &str, out: &Path, variables: &[(&str, &str)]) -> Assert {
    let cache = out.with_file_name("cache");
    let mut arguments = common::small_run(Path::new(data), "none", out);
    arguments.extend(["--epochs", "1", "--cache", cache.to_str().unwrap()]);
    let mut command = common::warmstart();
    for name in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command
        .envs(variables.iter().copied())
        .args(arguments)
        .assert()
}

#[cfg(feature = "parquet")]
#[test]
fn a_parquet_data_set_trains_as_the_folder_of_the_same_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let folder = common::data(dir.path());
    let (by_folder, by_parquet) = (dir.path().join("by-folder"), dir.path().join("by-parquet"));
    trained(folder.to_str().unwrap(), &by_folder, &[]).success();
    let data = parquet();
    let data = data.to_str().unwrap();
    trained(data, &by_parquet, &[]).success().said(
        contains("unpacking 39 rows of 2 Parquet files")
            .and(contains("39 pictures of 3 classes"))
            .and(contains("27 training images")),
    );
    assert_eq!(common::metrics(&by_parquet), common::metrics(&by_folder));
    // Clearing the cache of features leaves the data of runs.
    let cache = dir.path().join("cache");
    let mut clear = common::warmstart();
    clear.args(["cache", "clear", "--cache", cache.to_str().unwrap()]);
    clear.assert().success();
    trained(data, &dir.path().join("again"), &[])
        .success()
        .said(contains("unpacked earlier").and(contains("unpacking").not()));
    let validation = parquet().join("validation-00000-of-00001.parquet");
    let mut eval = common::warmstart();
    eval.env("XDG_CACHE_HOME", dir.path())
        .env("LOCALAPPDATA", dir.path())
        .arg("eval")
        .arg(&by_parquet)
        .arg("--data")
        .arg(validation);
    eval.assert()
        .success()
        .said(contains("12 images: top-1 accuracy"));
}

#[cfg(feature = "parquet")]
#[test]
fn a_damaged_parquet_file_is_named_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let name = "train-00000-of-00001.parquet";
    let whole = std::fs::read(parquet().join(name)).unwrap();
    let data = dir.path().join("pets");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join(name), &whole[..whole.len() / 2]).unwrap();
    let out = dir.path().join("run");
    trained(data.to_str().unwrap(), &out, &[]).failure().said(
        contains(name)
            .and(contains("damaged"))
            .and(contains("panicked").not()),
    );
    assert!(!out.exists());
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_that_reads_no_parquet_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let data = parquet();
    trained(data.to_str().unwrap(), &dir.path().join("run"), &[])
        .failure()
        .said(contains("train-00000-of-00001.parquet").and(contains("--features parquet")));
}

#[cfg(not(feature = "remote"))]
#[test]
fn a_build_that_copies_nothing_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    for address in ["s3://bucket/pets", "https://host/pets.tar"] {
        trained(address, &dir.path().join("run"), &[])
            .failure()
            .said(contains(address).and(contains("--features remote")));
    }
}

#[cfg(feature = "remote")]
mod remote {
    use std::fs;

    use super::*;
    #[cfg(feature = "parquet")]
    use crate::weights_by_name::server::Answer;
    use crate::weights_by_name::server::Server;
    use crate::weights_by_name::server::bucket::{Bucket, refusal};

    /// Variables that lead to a server on this machine.
    fn leading_to(server: &Server) -> [(&str, &str); 3] {
        [
            ("AWS_ENDPOINT_URL", server.url.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_SKIP_SIGNATURE", "true"),
        ]
    }

    /// Puts the files below a folder into a bucket.
    fn put(bucket: &Bucket, folder: &Path, key: &str) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let key = format!("{key}/{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                put(bucket, &path, &key);
            } else {
                bucket.put(&key, fs::read(&path).unwrap());
            }
        }
    }

    #[test]
    fn a_bucket_trains_as_the_folder_that_was_put_there() {
        let dir = tempfile::tempdir().unwrap();
        let folder = common::data(dir.path());
        let bucket = Bucket::default();
        put(&bucket, &folder, "pets");
        let server = bucket.serve();
        let variables = leading_to(&server);
        let run = |name: &str| dir.path().join(name);
        trained(folder.to_str().unwrap(), &run("by-folder"), &[]).success();
        trained("s3://photos/pets/", &run("by-bucket"), &variables)
            .success()
            .said(contains("copying 39 of 39 files").and(contains("39 of them are new")));
        assert_eq!(
            common::metrics(&run("by-bucket")),
            common::metrics(&run("by-folder"))
        );
        trained("s3://photos/pets", &run("again"), &variables)
            .success()
            .said(contains("; 0 of them are new").and(contains("copying").not()));
        // Every command reads the copy, without the server.
        let mut eval = common::warmstart();
        eval.arg("eval").arg(run("by-bucket"));
        eval.assert()
            .success()
            .said(contains("12 images: top-1 accuracy"));
    }

    #[test]
    fn a_recipe_may_name_an_address() {
        let dir = tempfile::tempdir().unwrap();
        let bucket = Bucket::default();
        put(&bucket, &common::data(dir.path()), "pets");
        let server = bucket.serve();
        let recipe = dir.path().join("recipe.toml");
        fs::write(
            &recipe,
            "data = 's3://photos/pets'\nmodel = 'mobilenet_v2'\n",
        )
        .unwrap();
        let out = dir.path().join("run");
        let mut command = common::warmstart();
        command
            .envs(leading_to(&server))
            .arg("train")
            .arg(&recipe)
            .arg("--out")
            .arg(&out);
        command.args([
            "--weights",
            "none",
            "--image-size",
            "32",
            "--batch",
            "8",
            "--epochs",
            "1",
        ]);
        command.arg("--cache").arg(dir.path().join("cache"));
        command.assert().success();
        let resolved = fs::read_to_string(out.join("recipe.toml")).unwrap();
        assert!(
            resolved.contains("s3-photos-") && !resolved.contains("s3://"),
            "{resolved}"
        );
    }

    #[test]
    fn a_refusal_leaves_no_run() {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(|_| refusal(403, "AccessDenied"));
        let out = dir.path().join("run");
        trained("s3://photos/pets", &out, &leading_to(&server))
            .failure()
            .said(
                contains(
                    "s3://photos/pets could not be read: access was refused (403, AccessDenied)",
                )
                .and(contains("AWS_SECRET_ACCESS_KEY")),
            );
        assert!(!out.exists());
        let mut command = common::warmstart();
        command.args(["train", "--data", "s3://photos/pets", "--no-cache"]);
        command
            .current_dir(dir.path())
            .assert()
            .failure()
            .said(contains("--cache DIR"));
    }

    #[cfg(feature = "parquet")]
    #[test]
    fn parquet_files_of_a_web_server_are_copied_and_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(|asked| {
            let file = parquet().join(asked.path.trim_start_matches("/pets/"));
            match fs::read(file) {
                Ok(content) => Answer::content(&content, asked)
                    .header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT"),
                Err(_) => Answer::status(404),
            }
        });
        let address = format!(
            "{}/pets/{{train,validation}}-00000-of-00001.parquet",
            server.url
        );
        trained(&address, &dir.path().join("run"), &[])
            .success()
            .said(
                contains("2 of them are new")
                    .and(contains("39 pictures of 3 classes"))
                    .and(contains("27 training images")),
            );
        // What the server says of the time is enough to know the files again.
        trained(&address, &dir.path().join("again"), &[])
            .success()
            .said(contains("; 0 of them are new").and(contains("unpacked earlier")));
    }
}
