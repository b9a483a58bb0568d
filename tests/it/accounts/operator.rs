//! `propylon admin reset-password`, beside a gateway that runs and without one.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use http::Method;
use serde_json::{Value, json};

use super::{
    ADMIN, ADMIN_PASSWORD, PASSWORD, Place, REFRESH, ask, bearer, good, login, me, register, text, until,
};
use crate::support::{
    client::{request, rest},
    servers::Server,
};

/// What a run of the command came to.
struct Run {
    code: i32,
    out: String,
    err: String,
}

fn reset(config: &str, arguments: &[&str], input: &str) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("propylon.toml");
    std::fs::write(&file, config).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_propylon"))
        .env_remove("PROPYLON_REQUIRE")
        .args(["admin", "reset-password", "--config"])
        .arg(&file)
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that asks for nothing may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let done = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { code: done.status.code().unwrap(), out: text(done.stdout), err: text(done.stderr) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_reset_beside_a_gateway_that_runs() {
    for place in Place::both() {
        let gateway = place.gateway();
        let (at, name, config) = (gateway.address, place.name, place.config.as_str());
        let before = good(&login(at, ADMIN, ADMIN_PASSWORD).await);
        // The one admin there is, with a password that is made up.
        let run = reset(config, &[], "");
        assert_eq!(run.code, 0, "{name}: {}", run.err);
        let told = run
            .out
            .strip_prefix("The password of op@x.example is now ")
            .unwrap_or_else(|| panic!("{}", run.out));
        let (password, rest_of_it) = told.split_once(' ').unwrap();
        assert_eq!(rest_of_it.trim(), "(shown this once). Its session has ended.", "{name}");
        assert_eq!(login(at, ADMIN, ADMIN_PASSWORD).await.http, 401, "{name}");
        let token = bearer(text(&good(&login(at, ADMIN, password).await), "access_token"));
        // What was open has ended, here too.
        let old = bearer(text(&before, "access_token"));
        until("the gateway is told", async || me(at, &[("authorization", &old)]).await.http == 401).await;
        let refresh = json!({ "refresh_token": before["refresh_token"] });
        assert_eq!(ask(at, &REFRESH, refresh, &[]).await.http, 401, "{name}");

        // Somebody else's, read from stdin, who becomes an admin.
        let ann = register(at, "Ann@x.example").await;
        let arguments = ["--email", "ANN@x.example", "--password-stdin", "--json"];
        let run = reset(config, &arguments, "Another-Horse-8\nmore\n");
        let want = json!({
            "email": "Ann@x.example", "password": null, "sessions": 1, "admin": false, "active": true,
        });
        assert_eq!(
            (run.code, serde_json::from_str::<Value>(&run.out).unwrap()),
            (0, want),
            "{name}: {}",
            run.err
        );
        assert_eq!(login(at, "ann@x.example", PASSWORD).await.http, 401, "{name}");
        assert_eq!(login(at, "ann@x.example", "Another-Horse-8").await.http, 200, "{name}");
        let path = format!("/admin/users/{}?update_mask=is_active", text(&ann["user"], "id"));
        let off = request(
            &Method::PATCH,
            &path,
            &[("authorization", &token), ("content-type", "application/json")],
            r#"{"is_active": false}"#,
        );
        let off = rest(at, off).await;
        assert_eq!(off.http, 200, "{name}: {off:?}");
        let run = reset(config, &["--email", "ann@x.example"], "");
        assert!(
            run.code == 0 && run.out.contains("It is switched off, and cannot log in"),
            "{name}: {}",
            run.out
        );
        let run = reset(
            config,
            &["--email", "ann@x.example", "--password-stdin", "--make-admin"],
            "Another-Horse-9",
        );
        assert_eq!((run.code, run.out.lines().count()), (0, 1), "{name}: {}{}", run.out, run.err);
        let user = good(&login(at, "ann@x.example", "Another-Horse-9").await);
        assert_eq!(user["user"]["is_admin"], true, "{name}");
        assert_eq!(user["user"]["roles"], json!(["admin", "user"]), "{name}");

        // An operator leaves lines too.
        let lines = request(&Method::GET, "/admin/audit?page_size=100", &[("authorization", &token)], "");
        let lines = good(&rest(at, lines).await);
        let mine: Vec<_> =
            lines["lines"].as_array().unwrap().iter().filter(|line| line["actor"] == "operator").collect();
        assert_eq!(mine.len(), 4, "{name}: {lines}");
        assert_eq!(
            (text(mine[0], "action"), text(mine[0], "details")),
            (
                "user.password",
                "Ann@x.example; roles: user → user admin; active: false → true; the password is reset"
            )
        );

        // What cannot be, in words.
        let check = |arguments: &[&str], input: &str, want: &str| {
            let run = reset(config, arguments, input);
            assert_eq!((run.code, run.out.as_str()), (78, ""), "{name} {arguments:?}: {}", run.err);
            assert!(run.err.contains(want), "{name} {arguments:?}: {}", run.err);
        };
        check(
            &[],
            "",
            "there are several admins: op@x.example, Ann@x.example; say which one (--email ADDRESS)",
        );
        check(
            &["--email", "anne@x.example"],
            "",
            "no account with the e-mail address \"anne@x.example\" (did you mean \"Ann@x.example\"?)",
        );
        check(&["--email", "x' OR '1'='1"], "", "there is no account with the e-mail address");
        check(
            &["--email", "ann@x.example", "--password-stdin"],
            "",
            "there is no password on the first line of stdin",
        );
        check(
            &["--email", "ann@x.example", "--password-stdin"],
            "short",
            "it has 5 characters; at least 8 are needed",
        );
        check(&["--email", "ann@x.example", "--password-stdin"], "password123", "one of the most common");
        assert_eq!(
            login(at, "ann@x.example", "Another-Horse-9").await.http,
            200,
            "nothing has changed: {name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_it_from_the_accounts_is_said() {
    let check = |config: &str, code: i32, want: &str| {
        let run = reset(config, &[], "");
        assert_eq!((run.code, run.out.as_str()), (code, ""), "{}", run.err);
        assert!(run.err.contains(want) && !run.err.contains("hunter2"), "{}", run.err);
        run.err
    };
    let said = check("", 1, "there is no database at data/propylon.db (from the folder ");
    assert!(said.ends_with("run this where the gateway runs, or say where in store.database\n"), "{said}");
    check(
        "[builtin.auth]\nenabled = false\n[builtin.users]\nenabled = false\n",
        78,
        "this config has no accounts",
    );
    check("[store]\ndatabase = \"mysql://h/a\"\n", 78, "mysql is no database");
    check("[store]\ndatabase = \"postgres://127.0.0.1:1/a\"\n", 1, "the database cannot be reached: ");
    // A database that nobody has used yet has no admin.
    let Some(server) = Server::postgres() else { return };
    let fresh = format!("[store]\ndatabase = \"{}\"\n", server.url("postgres"));
    check(&fresh, 78, "there is no active admin; say whose account it is (--email ADDRESS)");
}
