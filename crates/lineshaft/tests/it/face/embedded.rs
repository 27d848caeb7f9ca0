//! The engine in the process of its user.

use lineshaft::{Call, Client, Embedded, Error, JobState, Target, Worker};

use super::block_on;

#[lineshaft::task(name = "doubles")]
fn doubles(number: u32) -> u32 {
    number * 2
}

#[test]
fn a_job_survives_the_engine_and_runs_with_the_next_one() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("home");
        let engine = Embedded::start(&home).await.unwrap();
        assert_eq!(engine.home(), home);
        let id = engine.client().enqueue(doubles::call(21)).await.unwrap().id();
        engine.stop().await.unwrap();

        let engine = Embedded::start(&home).await.unwrap();
        let client = engine.client().clone();
        let worker = Worker::new(&client).task(doubles::TASK).start().unwrap();
        assert_eq!(client.job::<u32>(id).result().await.unwrap(), 42);
        worker.stop().await.unwrap();
        engine.stop().await.unwrap();
    });
}

#[test]
fn others_connect_to_its_home_but_do_not_serve_it() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let engine = Embedded::start(directory.path()).await.unwrap();
        let other = Client::connect(Target::home(directory.path())).await.unwrap();
        let mut job = other.enqueue(Call::<()>::new("nobody.runs.this")).await.unwrap();
        assert_eq!(engine.client().job::<()>(job.id()), job);
        assert_eq!(job.refresh().await.unwrap().state, JobState::Available);

        let error = Embedded::start(directory.path()).await.unwrap_err();
        assert!(matches!(error, Error::Engine(_)), "{error:?}");
        let pid = std::process::id();
        assert!(error.to_string().contains(&format!("is served already by process {pid}")), "{error}");
        assert!(error.hint().unwrap().contains("Client::connect"), "{:?}", error.hint());
    });
}

#[test]
fn dropped_it_leaves_a_home_that_the_next_one_opens() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            let engine = Embedded::start(directory.path()).await.unwrap();
            engine.client().enqueue(doubles::call(1)).await.unwrap();
            drop(engine);
            assert!(!directory.path().join("run/address").exists());
        }
    });
}

#[test]
fn a_home_that_cannot_be_one_is_named() {
    block_on(async {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Embedded::start(file.path()).await.unwrap_err();
        assert!(matches!(error, Error::Home { .. }), "{error:?}");
        assert!(error.to_string().contains("is a file, not a directory"), "{error}");
    });
}

/// The program of the guide is the example, and does what it says.
#[test]
fn the_first_program_runs_and_ends_by_itself() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let example = std::fs::read_to_string(root.join("examples/rust/embedded.rs")).unwrap();
    let code = &example[example.find("use lineshaft").unwrap()..];
    let guide = std::fs::read_to_string(root.join("docs/guides/rust.md")).unwrap();
    assert!(
        guide.starts_with(&format!("# Rust\n\n```rust,no_run\n{code}```\n")),
        "the guide shows the example"
    );

    let program = std::env::current_exe().unwrap().parent().unwrap().join("../examples/embedded");
    assert!(program.exists(), "build it first: cargo build -p lineshaft --example embedded");
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let output = std::process::Command::new(&program).current_dir(directory.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "6 words\n");
    }
    assert!(directory.path().join(".lineshaft/FORMAT").exists());
}
