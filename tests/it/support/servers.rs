//! PostgreSQL and Redis for one test: servers of its own on free ports of this machine, with their data in a temporary
//! folder; killed, stopped and started again as the test wants, and gone with it.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use super::{process::Program, tools::needs};

/// A machine under load is slow to start a server.
const START: Duration = Duration::from_secs(60);

/// A server that can be taken away and brought back.
pub(crate) struct Server {
    pub(crate) port: u16,
    kind: Kind,
    program: Option<Program>,
    folder: tempfile::TempDir,
}

#[derive(Clone)]
enum Kind {
    Postgres(PathBuf),
    Redis(PathBuf),
}

impl Server {
    /// A PostgreSQL with a user `propylon` that needs no password; `None` where the machine has none.
    pub(crate) fn postgres() -> Option<Self> {
        let (postgres, initdb) = (needs("postgres")?, needs("initdb")?);
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let mut make = as_other_user(&initdb, folder.path());
        make.arg("-D").arg(&data).args([
            "-U",
            "propylon",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        ]);
        Program::start("initdb", &mut make).unwrap().finish(START).unwrap();
        let mut server = Self { port: free_port(), kind: Kind::Postgres(postgres), program: None, folder };
        server.start();
        Some(server)
    }

    /// A Redis that keeps nothing; `None` where the machine has none.
    pub(crate) fn redis() -> Option<Self> {
        let redis = needs("redis")?;
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self { port: free_port(), kind: Kind::Redis(redis), program: None, folder };
        server.start();
        Some(server)
    }

    /// Where it is. PostgreSQL: the database of this name.
    pub(crate) fn url(&self, name: &str) -> String {
        match self.kind {
            Kind::Postgres(_) => {
                format!("postgres://propylon@127.0.0.1:{}/{name}?sslmode=disable", self.port)
            }
            Kind::Redis(_) => format!("redis://127.0.0.1:{}/{name}", self.port),
        }
    }

    /// Starts it (again), and waits until it can be used.
    pub(crate) fn start(&mut self) {
        let port = self.port.to_string();
        let (mut command, ready) = match &self.kind {
            Kind::Postgres(postgres) => {
                let mut command = as_other_user(postgres, self.folder.path());
                command.arg("-D").arg(self.folder.path().join("data"));
                // What these tests kill is a process, not the machine: what was written is in the system's cache.
                command.args([
                    "-p",
                    &port,
                    "-h",
                    "127.0.0.1",
                    "-k",
                    "",
                    "-c",
                    "fsync=off",
                    "-c",
                    "max_connections=60",
                ]);
                (command, "database system is ready to accept connections")
            }
            Kind::Redis(redis) => {
                let mut command = Command::new(redis);
                command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
                command.arg("--dir").arg(self.folder.path());
                (command, "Ready to accept connections")
            }
        };
        // After a kill the port may be held for a moment by what is left of the server's children.
        let begun = Instant::now();
        loop {
            let mut program = Program::start("the server", &mut command).unwrap();
            match program.wait_for(ready, START) {
                Ok(_) => break self.program = Some(program),
                Err(failure) if begun.elapsed() > START => panic!("{failure:?}"),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// Kills it: no connection is closed in order.
    pub(crate) fn kill(&mut self) {
        self.program = None;
        if let Kind::Postgres(_) = self.kind {
            let _ = std::fs::remove_file(self.folder.path().join("data/postmaster.pid"));
        }
    }

    /// Makes it hang: connections stay, and nothing answers.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// To it and its children: PostgreSQL has a process for each connection, in a group of its own.
    fn signal(&self, name: &str) {
        let Some(program) = &self.program else { return };
        let parent = program.id().to_string();
        let children = Command::new("pgrep").args(["-P", &parent]).output().unwrap();
        let children = String::from_utf8(children.stdout).unwrap();
        for id in std::iter::once(parent.as_str()).chain(children.split_whitespace()) {
            // A child may have ended meanwhile.
            let _ = Command::new("kill")
                .args([&format!("-{name}"), "--", id])
                .stderr(std::process::Stdio::null())
                .status();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.program.is_some() {
            self.thaw();
        }
    }
}

/// PostgreSQL refuses to run as root: then as another user, who gets the folder.
fn as_other_user(program: &Path, folder: &Path) -> Command {
    let root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.trim_ascii() == b"0");
    if !root {
        return Command::new(program);
    }
    let user = if Command::new("id").arg("postgres").output().is_ok_and(|out| out.status.success()) {
        "postgres"
    } else {
        "nobody"
    };
    assert!(Command::new("chown").args(["-R", user]).arg(folder).status().unwrap().success());
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={user}"), "--clear-groups", "--"]).arg(program).current_dir(folder);
    command
}

/// A port that was free a moment ago.
/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
