//! What was acknowledged survives a writer that is killed. The writer is this test binary, started again.

use std::{
    io::Write as _,
    process::Command,
    time::{Duration, Instant},
};

use propylon::store::{Micros, Settings, StoreError};
use sqlx::{Connection as _, SqliteConnection};

use super::{new_account, open, settings, sqlite};
use crate::support::process::Program;

const FOLDER: &str = "PROPYLON_TEST_WRITER";

/// Says each account it has made, when started by the test below; does nothing else.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "a test's own switch, not the gateway's configuration")]
async fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let stores = open(&sqlite(folder.as_ref()));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        let accounts = std::sync::Arc::clone(&stores.accounts);
        tasks.spawn(async move {
            for number in 0.. {
                let made = accounts
                    .create(&new_account(&format!("{task}-{number}@x.example")), Micros::now())
                    .await
                    .unwrap();
                let mut out = std::io::stdout().lock();
                writeln!(out, "made {}", made.id).unwrap();
                out.flush().unwrap();
            }
        });
    }
    tasks.join_all().await;
}

/// Of all who turn a new file to its journal of writes at once, SQLite lets one, and tells the others that it is locked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_file_is_made_by_all_who_start_at_once() {
    for round in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let mut starts = tokio::task::JoinSet::new();
        for number in 0..8 {
            let stores = open(&sqlite(folder.path()));
            starts.spawn(async move {
                stores.ping().await?;
                let account = new_account(&format!("{number}@x.example"));
                stores.accounts.create(&account, Micros::now()).await?;
                stores.accounts.counts().await.map(|counts| counts.total)
            });
        }
        let all = starts.join_all().await;
        assert!(all.iter().all(Result::is_ok), "round {round}: {all:?}");
        assert_eq!(open(&sqlite(folder.path())).accounts.counts().await.unwrap().total, 8, "round {round}");
    }
}

/// The same made slow: nobody can turn to that journal while another writes, and SQLite does not wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_file_that_another_is_in_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data/propylon.db");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    let mut other = SqliteConnection::connect(&format!("sqlite:{}?mode=rwc", file.display())).await.unwrap();
    sqlx::raw_sql("CREATE TABLE own (id); BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let stores = open(&sqlite(folder.path()));
    let (started, ()) = tokio::join!(stores.ping(), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    });
    assert_eq!(started, Ok(()));
    // Not for ever: what is held longer than a connection is waited for is away.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("propylon.db");
    let mut other = SqliteConnection::connect(&format!("sqlite:{}?mode=rwc", file.display())).await.unwrap();
    sqlx::raw_sql("CREATE TABLE own (id); BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let database = settings(&format!("sqlite:{}", file.display()));
    let stores = open(&Settings { connect_timeout: Duration::from_millis(300), ..database });
    let began = Instant::now();
    let StoreError::Away { why, .. } = stores.ping().await.unwrap_err() else { panic!("it is away") };
    assert!(why.contains("locked") && began.elapsed() >= Duration::from_millis(300), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_writer_loses_nothing_that_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "stores::durability::writer", "--nocapture"])
            .env(FOLDER, folder.path().join(round.to_string()));
        let mut program = Program::start("the writer", &mut command).unwrap();
        program.wait_for("made ", Duration::from_secs(60)).unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(300) + Duration::from_millis(97) * round {
            std::thread::sleep(Duration::from_millis(5));
        }
        program.signal("KILL");
        assert!(program.exit_code(Duration::from_secs(10)).is_err(), "a signal ended it");
        let output = program.output();
        // The last line may be cut off; it was acknowledged only if it is whole.
        let made: Vec<_> =
            output.lines().filter_map(|line| line.split_once("made ")).map(|(_, id)| id.to_owned()).collect();
        let made: Vec<_> = made.into_iter().filter(|id| id.len() == 36).collect();
        assert!(made.len() > 3, "{output}");
        acknowledged.push((folder.path().join(round.to_string()), made));
    }
    for (folder, made) in acknowledged {
        let stores = open(&sqlite(&folder));
        for id in &made {
            assert!(stores.accounts.get(id).await.unwrap().is_some(), "{id} of {} is lost", made.len());
        }
        // And it can be written to.
        stores.accounts.create(&new_account("after@x.example"), Micros::now()).await.unwrap();
    }
}
