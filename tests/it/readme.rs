//! `README.md` is true to the letter: each of its console blocks is run against gateways started as it says, and what it
//! shows is what comes (… stands for any text); its TOML blocks, one after the other, are a config that a gateway starts
//! with.

use std::{net::SocketAddr, path::PathBuf, process::Command, time::Duration};

use crate::support::{
    client::{request, rest},
    gateway::{World, listening},
    library::PATIENCE,
    process::Program,
    reflecting::{FIRST, Reflecting, compiled},
    tools::{needs, package},
};

/// Where README's gateway listens, in both spellings, and where its upstream does.
const GATEWAY: [&str; 2] = ["localhost:8080", "127.0.0.1:8080"];
const UPSTREAM: &str = "127.0.0.1:9000";

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(package().join("README.md")).unwrap();
    let mut parts = text.split("```");
    let mut found = Vec::new();
    while let (Some(_), Some(block)) = (parts.next(), parts.next()) {
        if let Some(inside) = block.strip_prefix(&format!("{language}\n")) {
            found.push(inside.to_owned());
        }
    }
    found
}

/// The commands of a block (behind `$ `), each with the lines shown below it.
fn commands(block: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), found.last_mut()) {
            (Some(command), _) => found.push((command.to_owned(), String::new())),
            (None, Some((_, shown))) => *shown += &format!("{line}\n"),
            (None, None) => panic!("a console block begins with a command: {block}"),
        }
    }
    found
}

/// True where `text` is what is shown, each … standing for any text.
fn fits(text: &str, shown: &str) -> bool {
    let parts: Vec<&str> = shown.trim_end().split('…').collect();
    let mut rest = text.trim_end();
    for (at, part) in parts.iter().enumerate() {
        // The first part begins the text, and the last one ends it.
        let place = match at {
            0 => rest.starts_with(part).then_some(0),
            _ if at + 1 == parts.len() => rest.ends_with(part).then(|| rest.len() - part.len()),
            _ => rest.find(part),
        };
        let Some(place) = place else { return false };
        rest = &rest[place + part.len()..];
    }
    parts.len() > 1 || rest.is_empty()
}

/// What a command that starts a gateway is called with, behind `cargo run --release`.
fn starts(command: &str) -> Option<Vec<&str>> {
    let rest = command.strip_prefix("cargo run --release")?;
    Some(rest.trim_start().trim_start_matches("-- ").split_whitespace().collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_does_what_is_shown() {
    let upstream = Reflecting::start(([127, 0, 0, 1], 0).into(), FIRST).await;
    let upstream_address = upstream.address.to_string();
    let ticking = tokio::spawn(async move {
        loop {
            upstream.try_tick();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let grpcurl = needs("grpcurl");
    let folder = tempfile::tempdir().unwrap();
    let config = blocks("toml").remove(0).replace(UPSTREAM, &upstream_address);
    std::fs::write(folder.path().join("propylon.toml"), config).unwrap();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_propylon"));
    let path = format!("{}:{}", program.parent().unwrap().display(), env!("PATH"));
    let mut gateway: Option<(Program, SocketAddr)> = None;
    let mut run = 0;
    for (command, shown) in blocks("console").iter().flat_map(|block| commands(block)) {
        if let Some(arguments) = starts(&command) {
            let arguments = arguments.iter().map(|word| word.replace(UPSTREAM, &upstream_address));
            let mut started = Command::new(env!("CARGO_BIN_EXE_propylon"));
            // As a person sees it, without the colours.
            started.args(arguments).args(["--listen", "127.0.0.1:0"]).env("NO_COLOR", "1");
            // Its data is new each time.
            started.current_dir(folder.path());
            let mut program = Program::start_on_terminal("propylon", &mut started).unwrap();
            let address = listening(&mut program).to_string();
            let last = shown.trim_end().lines().next_back().unwrap_or_default();
            let last = GATEWAY.iter().fold(last.to_owned(), |text, name| text.replace(name, &address));
            // A line is printed whole.
            program.wait_for(last.split('…').next().unwrap_or_default(), PATIENCE).unwrap();
            let shown = GATEWAY.iter().fold(shown, |text, name| text.replace(name, &address));
            // The log goes to stderr, which is no terminal here.
            let printed: Vec<_> =
                program.output().lines().filter(|line| !line.starts_with('{')).map(str::to_owned).collect();
            assert!(fits(&printed.join("\n"), &shown), "{command}\n{}\nis not\n{shown}", printed.join("\n"));
            gateway = Some((program, address.parse().unwrap()));
            run += 1;
            continue;
        }
        let (_, address) = gateway.as_ref().expect("a gateway was started");
        let mut line =
            GATEWAY.iter().fold(command.clone(), |text, name| text.replace(name, &address.to_string()));
        if line.starts_with("grpcurl") {
            let Some(grpcurl) = &grpcurl else { continue };
            line = line.replacen("grpcurl", &grpcurl.display().to_string(), 1);
        }
        let mut shell = Command::new("sh");
        // As in a folder with README's config, and with the program on the PATH.
        shell.args(["-c", &line]).current_dir(folder.path()).env("PATH", &path);
        let mut shell = Program::start(&command, &mut shell).unwrap();
        let code = shell.exit_code(PATIENCE).unwrap();
        let printed = shell.output();
        assert!(code == 0 && fits(&printed, &shown), "$ {command}\n{printed}\nis not\n{shown}");
        run += 1;
    }
    assert!(run >= 15, "only {run} commands were found in README.md");
    ticking.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_config_starts() {
    let upstream = Reflecting::start(([127, 0, 0, 1], 0).into(), FIRST).await;
    let configs = blocks("toml");
    assert!(!configs.is_empty());
    // Each is more of the same file.
    for last in 1..=configs.len() {
        let config = configs[..last].join("\n").replace(UPSTREAM, &upstream.address.to_string());
        let world = World::new().with_variable("SEARCH_TOKEN", "Bearer 5f2b8c1e9d");
        let gateway = world.with_config(&config).start();
        let outcome = rest(gateway.address, request(&http::Method::GET, "/v2/items/pen", &[], "")).await;
        assert_eq!(outcome.messages, [serde_json::json!({ "name": "pen" })], "{outcome:?}");
    }
}

#[test]
fn the_contract_shown_is_the_one_that_is_run() {
    use propylon::schema::Schema;
    let shown = blocks("proto").remove(0);
    let folder = tempfile::tempdir().unwrap();
    let head = "syntax = \"proto3\"; import \"google/api/annotations.proto\";";
    std::fs::write(folder.path().join("shop.proto"), format!("{head}\n{shown}")).unwrap();
    let mut compiler = protox::Compiler::new([folder.path(), &package().join("proto")]).unwrap();
    compiler.include_imports(true).open_file("shop.proto").unwrap();
    let described = |schema: Schema| {
        let methods = schema.methods().map(|method| format!("{method:?} {}", method.server_streaming));
        methods.collect::<Vec<_>>()
    };
    let shown = described(Schema::decode(&compiler.encode_file_descriptor_set()).unwrap());
    assert_eq!(shown.len(), 2);
    assert_eq!(shown, described(Schema::from_files(compiled(FIRST)).unwrap()));
}

/// What is in a fence is run, started with, or held against what is run: there is none that nobody looks at.
#[test]
fn every_block_is_of_a_kind_that_is_held() {
    let text = std::fs::read_to_string(package().join("README.md")).unwrap();
    let fences = text.lines().filter(|line| line.starts_with("```")).count();
    let held = ["console", "toml", "proto"].map(|language| blocks(language).len());
    assert_eq!(held.iter().sum::<usize>() * 2, fences, "{held:?}");
    assert_eq!(held[2], 1, "the first contract alone is held against the one that is run");
    assert!(!text.contains("~~~"), "a fence of another kind");
}

#[test]
fn what_is_shown_may_leave_out() {
    let check =
        |text: &str, shown: &str, want: bool| assert_eq!(fits(text, shown), want, "{text:?} {shown:?}");
    check("a\n", "a\n", true);
    check("ab", "a", false);
    check("{\"a\":1,\"b\":2}", "{\"a\":…,\"b\":2}", true);
    check("{\"a\":1}", "{\"b\":…}", false);
    check("x then y", "…y", true);
    check("x then y, z", "…y", false);
    check("abc", "abc…", true);
}

#[test]
fn what_it_links_to_is_there() {
    let text = std::fs::read_to_string(package().join("README.md")).unwrap();
    for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(package().join(link).exists(), "{link}");
    }
    for script in ["scripts/test", "scripts/bench"] {
        assert!(text.contains(script) && package().join(script).exists(), "{script}");
    }
}
