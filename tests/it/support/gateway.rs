//! A gateway for one test: the binary, started on a free port with a config that states only the difference.

use std::{net::SocketAddr, path::PathBuf, process::Command, time::Duration};

use super::{library::DESCRIPTORS, process::Program, tools::setting};

/// A debug build on a busy machine is slow to start.
const START: Duration = Duration::from_secs(60);

/// A running gateway. Dropped, it is killed.
pub(crate) struct TestGateway {
    pub(crate) address: SocketAddr,
    /// What it prints can be waited for.
    pub(crate) program: Program,
    /// Holds the config and the descriptors; gone with the gateway.
    folder: tempfile::TempDir,
}

impl TestGateway {
    /// Writes another config into its file, in one step.
    pub(crate) fn rewrite(&self, config: &str) {
        self.put("propylon.toml", open(config).as_bytes());
    }

    /// Puts a file beside the config, in place of what is there, in one step.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let new = self.folder.path().join(format!("{name}.new"));
        std::fs::write(&new, bytes).unwrap();
        std::fs::rename(new, self.folder.path().join(name)).unwrap();
    }

    /// The folder of its config.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The config file it runs on.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("propylon.toml")
    }
}

/// What a test gateway is started with.
pub(crate) struct World {
    config: String,
    listen: &'static str,
    variables: Vec<(String, String)>,
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { config: String::new(), listen: "127.0.0.1:0", variables: Vec::new(), folder }
    }

    /// Sets a variable of its environment.
    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A gateway before the library upstream, its schema from a descriptor set file.
    pub(crate) fn with_library(upstream: SocketAddr) -> Self {
        let world = Self::new();
        std::fs::write(world.folder.path().join("library.binpb"), DESCRIPTORS.as_slice()).unwrap();
        world.with_config(&format!(
            "[[upstreams]]\nname = \"library\"\ngrpc = \"http://{upstream}\"\ndescriptors = \"library.binpb\"\n"
        ))
    }

    /// Adds lines to the config.
    pub(crate) fn with_config(mut self, lines: &str) -> Self {
        self.config.push_str(lines);
        self.config.push('\n');
        self
    }

    /// Listens elsewhere than on a free port of 127.0.0.1.
    pub(crate) fn listening_on(mut self, address: &'static str) -> Self {
        self.listen = address;
        self
    }

    /// Puts a file beside the config.
    pub(crate) fn with_file(self, name: &str, bytes: &[u8]) -> Self {
        std::fs::write(self.folder.path().join(name), bytes).unwrap();
        self
    }

    fn command(&self) -> Command {
        let file: PathBuf = self.folder.path().join("propylon.toml");
        std::fs::write(&file, open(&self.config)).unwrap();
        // What is measured may be another build than what is tested.
        let built = env!("CARGO_BIN_EXE_propylon");
        let mut command = Command::new(setting("PROPYLON_BIN").unwrap_or_else(|| built.to_owned()));
        command.args(["serve", "--listen", self.listen, "--config"]).arg(file);
        // What it keeps is its own: the default is a file below the folder that it is started in.
        command.current_dir(self.folder.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(self) -> TestGateway {
        let mut program = Program::start("propylon", &mut self.command()).unwrap();
        let address = listening(&mut program);
        TestGateway { address, program, folder: self.folder }
    }

    /// Runs it to its end, which is expected to come at once: exit code and what it printed.
    pub(crate) fn fails(self) -> (i32, String) {
        let mut program = Program::start("propylon", &mut self.command()).unwrap();
        let code = program.exit_code(START).unwrap();
        (code, program.output())
    }
}

/// Waits until a gateway says that it listens, and where: to a person on a line of its own, to a program in a line of JSON.
pub(crate) fn listening(program: &mut Program) -> SocketAddr {
    let rest = program.wait_for("listening on http", START).unwrap();
    let (_, rest) = rest.split_once("://").unwrap();
    let address = rest.split('"').next().unwrap_or_default();
    address.parse().unwrap_or_else(|error| panic!("{address}: {error}"))
}

/// A config under which everyone may call, unless it says who may: most tests are not about callers. An empty one stays so.
pub(crate) fn open(config: &str) -> String {
    if config.is_empty() || config.contains("[access]") {
        config.to_owned()
    } else {
        format!("{config}\n[access]\ndefault = \"public\"\n")
    }
}
