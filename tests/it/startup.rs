//! What the gateway says when it starts: to a person at a terminal, to what collects a container's output; and when it
//! cannot start, one sentence with what to do, and an exit code.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::Command,
    time::Duration,
};

use http::Method;
use serde_json::{Value, json};

use crate::support::{
    client::{request, rest},
    gateway::listening,
    library::PATIENCE,
    process::Program,
    reflecting::{FIRST, Reflecting},
    tools::needs,
};

fn propylon(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_propylon"));
    command.args(arguments).env_remove("NO_COLOR").env("TERM", "xterm");
    command
}

fn free() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Runs a line that the gateway has shown, as a person would.
fn runs(line: &str) {
    let mut line = line.trim().to_owned();
    if line.starts_with("grpcurl") {
        let Some(grpcurl) = needs("grpcurl") else { return };
        line = line.replacen("grpcurl", &grpcurl.display().to_string(), 1);
    } else {
        line = line.replacen("curl", "curl --silent --show-error --fail", 1);
    }
    let mut shell = Program::start(&line, Command::new("sh").args(["-c", &line])).unwrap();
    assert_eq!(shell.exit_code(PATIENCE).unwrap(), 0, "$ {line}\n{}", shell.output());
}

/// What was printed, without the log.
fn printed(program: &Program) -> Vec<String> {
    program.output().lines().filter(|line| !line.starts_with('{')).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_sees_what_is_reachable_and_what_to_type() {
    let upstream = Reflecting::start(([127, 0, 0, 1], 0).into(), FIRST).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("propylon.toml");
    let away = free();
    let one =
        |name: &str, address| format!("[[upstreams]]\nname = \"{name}\"\ngrpc = \"http://{address}\"\n");
    fs::write(&file, one("shop", upstream.address) + &one("away", away)).unwrap();
    let file = file.to_str().unwrap();
    let mut command = propylon(&["--config", file, "--listen", "127.0.0.1:0"]);
    let mut program = Program::start_on_terminal("propylon", command.env("NO_COLOR", "1")).unwrap();
    let address = listening(&mut program);
    program.wait_for("grpcurl -plaintext", PATIENCE).unwrap();
    let lines = printed(&program);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(lines[0], format!("propylon {version} is listening on http://{address}"));
    for words in [
        format!("upstream   shop  http://{}", upstream.address),
        "  1 service, 2 methods".to_owned(),
        format!("upstream   away  http://{away}"),
        "  does not answer yet; its methods appear when it does".to_owned(),
        "speaks     gRPC, gRPC-Web, REST and MCP".to_owned(),
        "MCP        /mcp, 0 tools".to_owned(),
        "health     /livez  /readyz  /health".to_owned(),
    ] {
        assert!(lines.iter().any(|line| line.contains(&words)), "{words}\n{}", lines.join("\n"));
    }
    for start in ["  curl ", "  grpcurl "] {
        runs(lines.iter().find(|line| line.starts_with(start)).unwrap());
    }
    assert!(!program.output().contains('\u{1b}'), "{}", program.output());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colours_are_for_terminals_that_want_them() {
    for (variable, value, colours) in
        [("TERM", "xterm", true), ("NO_COLOR", "1", false), ("NO_COLOR", "", true), ("TERM", "dumb", false)]
    {
        let mut command = propylon(&["--listen", "127.0.0.1:0"]);
        let mut program = Program::start_on_terminal("propylon", command.env(variable, value)).unwrap();
        program.wait_for("grpcurl -plaintext", PATIENCE).unwrap();
        let lines = printed(&program);
        assert_eq!(lines.join("\n").contains('\u{1b}'), colours, "{variable}={value}\n{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_gets_one_line_of_json() {
    let upstream = Reflecting::start(([127, 0, 0, 1], 0).into(), FIRST).await;
    let shop = upstream.address.to_string();
    let arguments = ["up", "--grpc", &shop, "--listen", "127.0.0.1:0"];
    let mut program = Program::start("propylon", &mut propylon(&arguments)).unwrap();
    let address = listening(&mut program);
    assert_eq!(printed(&program), Vec::<String>::new());
    let output = program.output();
    let lines: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: Vec<_> = lines.iter().filter(|line| line["event"] == "listening").collect();
    let [line] = said.as_slice() else { panic!("{output}") };
    assert_eq!(line["address"], address.to_string());
    assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(line["pid"], program.id());
    let want = json!({
        "name": shop, "address": format!("http://{shop}"), "schema": true, "services": 1, "methods": 2
    });
    assert_eq!(line["upstreams"], json!([want]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_says_what_is_not_there_and_takes_it_when_it_comes() {
    let (away, upstream) = (free(), Reflecting::start(([127, 0, 0, 1], 0).into(), FIRST).await);
    let (later, shop) = (away.to_string(), upstream.address.to_string());
    let arguments = ["up", "--grpc", &shop, "--listen", "127.0.0.1:0"];
    let mut program =
        Program::start_on_terminal("propylon", propylon(&arguments).env("NO_COLOR", "1")).unwrap();
    let address = listening(&mut program);
    let lines = printed(&program);
    let row = "    /shop.v1.Shop/Watch  server stream  GET /v1/watch         shop_v1_Shop_Watch";
    assert!(lines.iter().any(|line| line == row), "{}", lines.join("\n"));
    assert!(lines.iter().any(|line| line == "MCP    /mcp, 2 tools"), "{}", lines.join("\n"));
    for start in ["  curl ", "  grpcurl ", "  curl -H 'content-type: application/json' -d '{\"jsonrpc\""] {
        runs(lines.iter().find(|line| line.starts_with(start)).unwrap());
    }
    drop(program);
    let arguments = ["up", "--grpc", &later, "--listen", &address.to_string()];
    let mut program =
        Program::start_on_terminal("propylon", propylon(&arguments).env("NO_COLOR", "1")).unwrap();
    let address = listening(&mut program);
    let words = format!("http://{later}  does not answer yet; its methods appear when it does");
    assert!(printed(&program).contains(&words), "{}", program.output());
    let _upstream = Reflecting::start(away, FIRST).await;
    program.wait_for("its schema is new: added shop.v1.Shop.Get", PATIENCE).unwrap();
    let outcome = rest(address, request(&Method::GET, "/v1/items/pen", &[], "")).await;
    assert_eq!(outcome.messages, [json!({ "name": "pen" })]);
}

#[tokio::test]
async fn what_does_not_start_says_why_in_a_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_by = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("propylon.toml");
    fs::write(&there, "").unwrap();
    fs::write(folder.path().join("ca.pem"), "no certificate").unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let config = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        path(name)
    };
    let upstream = "[[upstreams]]\nname = \"books\"\ngrpc = \"https://127.0.0.1:9\"\n";
    let check = |arguments: &[&str], code: i32, said: &[&str]| {
        let mut command = propylon(arguments);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut program = Program::start("propylon", &mut command).unwrap();
        let exit = program.exit_code(PATIENCE).unwrap();
        let output = program.output();
        assert_eq!(exit, code, "{arguments:?}\n{output}");
        for words in said {
            assert!(output.contains(words), "{arguments:?}: no «{words}» in\n{output}");
        }
        for noise in ["panicked", "RUST_BACKTRACE", "Error {", "os error", "{\"timestamp\""] {
            assert!(!output.contains(noise), "{arguments:?}: «{noise}» in\n{output}");
        }
    };
    // The listener.
    let holder = format!("(process {})", std::process::id());
    let said = ["cannot listen on", &taken_by, "the port is in use by ", &holder, "--listen 127.0.0.1:0"];
    check(&["--listen", &taken_by], 1, &said);
    check(&["up", "--grpc", "127.0.0.1:9", "--listen", &taken_by], 1, &said);
    check(&["--listen", "192.0.2.1:8080"], 1, &["192.0.2.1 is no address of this machine", "0.0.0.0:8080"]);
    check(&["--listen", "8080"], 78, &["\"8080\" is not an address to listen on", "127.0.0.1:8080"]);
    // The config's file.
    let near = ["propylom.toml", "No such file", "did you mean \"propylon.toml\"?"];
    check(&["--config", &path("propylom.toml")], 78, &near);
    check(&["--config", &path("no/propylon.toml")], 78, &["No such file", "there is no folder", "/no"]);
    check(&["--config", folder.path().to_str().unwrap()], 78, &["it is a folder, not a file"]);
    // The files that it names.
    let missing = config("missing.toml", &format!("{upstream}ca = \"ca.pam\"\n"));
    check(&["--config", &missing], 78, &["books", "ca.pam", "No such file", "did you mean \"ca.pem\"?"]);
    let bad = config("bad.toml", &format!("{upstream}ca = \"ca.pem\"\n"));
    check(&["--config", &bad], 78, &["books", "holds no certificate"]);
    let both = config("both.toml", &format!("{upstream}ca = \"ca.pam\"\ndescriptors = \"books.binbp\"\n"));
    check(&["--config", &both], 78, &["ca.pam", "books.binbp"]);
}

#[tokio::test]
async fn too_few_open_files_are_told_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    for files in [8, 12, 16, 40] {
        let line =
            format!("ulimit -n {files} && exec {} --listen 127.0.0.1:0", env!("CARGO_BIN_EXE_propylon"));
        let mut shell = Command::new("sh");
        let mut program = Program::start("sh", shell.args(["-c", &line]).current_dir(folder.path())).unwrap();
        let (exit, output) = (program.exit_code(PATIENCE).unwrap(), program.output());
        assert_eq!(exit, 1, "{files}: {output}");
        let words =
            format!("propylon: this process may open {files} files (RLIMIT_NOFILE, which `ulimit -n` shows)");
        assert!(output.starts_with(&words) && output.lines().count() == 1, "{files}: {output}");
    }
    // What is just enough serves.
    let line = format!("ulimit -n 200 && exec {} --listen 127.0.0.1:0", env!("CARGO_BIN_EXE_propylon"));
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).env("PROPYLON_GATEWAY__WORKERS", "2").current_dir(folder.path());
    let mut program = Program::start("sh", &mut shell).unwrap();
    let address = listening(&mut program);
    assert_eq!(rest(address, request(&Method::GET, "/ping", &[], "")).await.http, 200);
}

#[test]
fn a_database_that_cannot_be_had_ends_the_start_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("data"), "a file").unwrap();
    fs::create_dir(path("folder.db")).unwrap();
    fs::write(path("text.db"), "no database at all, and longer than a header of one").unwrap();
    fs::create_dir(path("closed")).unwrap();
    fs::set_permissions(path("closed"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let check = |database: &str, why: &str| {
        let start = |arguments: &[&str]| {
            let mut command = propylon(arguments);
            command.current_dir(folder.path());
            if rustix::process::geteuid().is_root() {
                // To root no folder is closed.
                command.uid(65534);
            }
            if !database.is_empty() {
                command.env("PROPYLON_STORE__DATABASE", format!("sqlite:{}", path(database)));
            }
            Program::start("propylon", &mut command).unwrap()
        };
        let mut program = start(&["--listen", "127.0.0.1:0"]);
        let (exit, output) = (program.exit_code(PATIENCE).unwrap(), program.output());
        assert_eq!(exit, 1, "{output}");
        assert!(output.starts_with("propylon: cannot ") && output.contains(why), "{output}");
        assert_eq!(output.lines().count(), 1, "{output}");
        assert!(output.contains("store.database") && !output.contains("os error"), "{output}");
        // A check sees it coming, and makes nothing.
        let mut program = start(&["check"]);
        let (exit, output) = (program.exit_code(PATIENCE).unwrap(), program.output());
        assert_eq!(exit, 0, "{output}");
        assert!(output.contains(why) && output.contains("0 errors, 1 warning"), "{output}");
        // What keeps nothing needs no file.
        let mut program = start(&["up", "--grpc", "127.0.0.1:9", "--listen", "127.0.0.1:0"]);
        listening(&mut program);
    };
    check("", "cannot make the folder data: a file is in its place");
    check("data/further/x.db", "a file is in the place of a folder above it");
    check("folder.db", "folder.db: a folder is in its place");
    check("closed/x.db", "closed/x.db: Permission denied");
    check("closed/deeper/x.db", "closed/deeper: Permission denied");
    fs::set_permissions(path("text.db"), fs::Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    check("text.db", "file is not a database");
    fs::set_permissions(path("text.db"), fs::Permissions::from_mode(0o444)).unwrap();
    check("text.db", "text.db: Permission denied");
}

#[test]
fn a_first_start_says_one_line_on_stdout_and_the_password_on_stderr() {
    let folder = tempfile::tempdir().unwrap();
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let mut command = propylon(&["--listen", "127.0.0.1:0"]);
    // The tests' own settings are none of its config.
    command.env_remove("PROPYLON_REQUIRE");
    command.current_dir(folder.path()).env("PROPYLON_LOG__LEVEL", "error");
    command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
    let mut program = command.spawn().unwrap();
    let begun = std::time::Instant::now();
    let read = |path| fs::read_to_string(path).unwrap();
    let said = || read(&err).contains("an admin was made") && read(&out).contains("listening");
    while !said() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&program);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(program.wait().unwrap().success());
    let (out, err) = (read(&out), read(&err));
    assert_eq!(out.lines().count(), 1, "{out}");
    let listening: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(listening["event"], "listening");
    let admin: Value = serde_json::from_str(err.trim()).unwrap();
    let password = admin["password"].as_str().unwrap();
    assert_eq!(admin["email"], "admin@localhost");
    assert!(password.len() > 10 && !out.contains(password), "{out}{err}");
}

#[tokio::test]
async fn a_person_is_told_of_the_stores_by_the_words_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = propylon(&["--listen", "127.0.0.1:0"]);
    command.current_dir(folder.path()).env("NO_COLOR", "1").env("PROPYLON_LOG__FORMAT", "text");
    let mut program = Program::start_on_terminal("propylon", &mut command).unwrap();
    program.wait_for("grpcurl -plaintext", PATIENCE).unwrap();
    let output = program.output();
    assert!(output.starts_with("propylon "), "{output}");
    assert!(output.contains("  store      sqlite:data/propylon.db"), "{output}");
    program.signal("TERM");
    assert_eq!(program.exit_code(PATIENCE).unwrap(), 0);
    let output = program.output();
    assert!(
        output.contains("asked to stop; no more calls are taken, and those in flight finished"),
        "{output}"
    );
}

#[tokio::test]
async fn output_that_nobody_reads_harms_nothing() {
    let address = free();
    let line = format!("{} --listen {address} >&- & sleep 30 & wait %1", env!("CARGO_BIN_EXE_propylon"));
    let _program = Program::start("sh", Command::new("sh").args(["-c", &line])).unwrap();
    let begun = std::time::Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        assert!(begun.elapsed() < PATIENCE, "{}", _program.output());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(rest(address, request(&Method::GET, "/ping", &[], "")).await.http, 200);
}
