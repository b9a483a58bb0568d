//! Replicas that share their stores: they start at once and find one admin and one key, and what one has made the other
//! takes.

use std::process::Command;

use serde_json::{Value, json};

use super::{ADMIN, NEW_KEY, PASSWORD, Place, admin, ask, bearer, good, login, me, register, text, until};
use crate::support::{
    client::{request, rest},
    gateway::{TestGateway, World, listening},
    library::PATIENCE,
    process::Program,
};

/// The key set, once there is one.
async fn jwks(gateway: &TestGateway) -> Value {
    let asked = request(&http::Method::GET, "/.well-known/jwks.json", &[], "");
    rest(gateway.address, asked).await.messages.remove(0)
}

/// The admins that a gateway says it has made.
fn made(gateway: &TestGateway) -> Vec<(String, Option<String>)> {
    let lines = gateway.program.output();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["message"] == "an admin was made")
        .map(|line| (text(&line, "email").to_owned(), line["password"].as_str().map(str::to_owned)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_start_at_once_make_one_admin_and_one_key() {
    for place in Place::both() {
        let start = || World::new().with_config(&place.config);
        let (one, other) = (start(), start());
        let starts = [one, other].map(|world| std::thread::spawn(move || world.start()));
        let gateways = starts.map(|start| start.join().unwrap());
        until("an admin is told of", async || gateways.iter().any(|gateway| !made(gateway).is_empty())).await;
        let all: Vec<_> = gateways.iter().flat_map(made).collect();
        let [(email, Some(password))] = all.as_slice() else { panic!("{}: {all:?}", place.name) };
        assert_eq!(email, "admin@localhost");
        for gateway in &gateways {
            let user = good(&login(gateway.address, email, password).await);
            assert_eq!(user["user"]["is_admin"], true, "{}: {user}", place.name);
        }
        let (one, other) = (jwks(&gateways[0]).await, jwks(&gateways[1]).await);
        assert_eq!((one["keys"].as_array().map(Vec::len), &one), (Some(1), &other), "{}", place.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_has_made_the_other_takes() {
    for place in Place::both() {
        let (one, other) = (place.gateway(), place.gateway());
        let made = register(one.address, "ann@x.example").await;
        let token = bearer(text(&made, "access_token"));
        let found = good(&me(other.address, &[("authorization", &token)]).await);
        assert_eq!(found["id"], made["user"]["id"], "{}", place.name);
        let admin = bearer(&admin(other.address).await);
        let asked = json!({ "name": "ann's", "user_id": made["user"]["id"] });
        let key = good(&ask(other.address, &NEW_KEY, asked, &[("authorization", &admin)]).await);
        let key = text(&key, "key").to_owned();
        let found = good(&me(one.address, &[("x-api-key", &key)]).await);
        assert_eq!(found["id"], made["user"]["id"], "{}", place.name);
    }
}

/// A person at a terminal is told too, and told once: a second start makes none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_admin_is_shown_once() {
    let place = Place::sqlite();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("propylon.toml");
    std::fs::write(&file, &place.config).unwrap();
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_propylon"));
        command.args(["--listen", "127.0.0.1:0", "--config"]).arg(&file).env("NO_COLOR", "1");
        Program::start_on_terminal("propylon", &mut command).unwrap()
    };
    let mut first = start();
    let address = listening(&mut first);
    let told = first.wait_for("an admin was made: ", PATIENCE).unwrap();
    let (email, rest) = told.split_once(", with the password ").unwrap();
    let password = rest.split(' ').next().unwrap();
    assert_eq!(good(&login(address, email, password).await)["user"]["is_admin"], true);
    assert!(rest.ends_with("(shown this once)"), "{told}");
    first.signal("TERM");
    first.exit_code(PATIENCE).unwrap();
    let mut second = start();
    let address = listening(&mut second);
    assert_eq!(good(&login(address, email, password).await)["user"]["is_admin"], true);
    assert!(!second.output().contains("an admin was made"), "{}", second.output());
}

/// ADMIN_EMAIL says whose account it is. Who has registered with it before is not the admin: their sessions end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_of_the_environment_is_not_whoever_came_first() {
    let place = Place::sqlite();
    {
        // An operator's mistake: no admin, and anybody may register.
        let gateway = place.world("").start();
        let squatter = register(gateway.address, "boss@x.example").await;
        let admin = bearer(&admin(gateway.address).await);
        let admins =
            good(&ask(gateway.address, &super::USERS, json!({}), &[("authorization", &admin)]).await);
        assert_eq!(admins["users"].as_array().map(Vec::len), Some(2), "{admins}");
        drop(gateway);
        take_the_admin_away(&place).await;
        let gateway = World::new()
            .with_config(&place.config)
            .with_variable("ADMIN_EMAIL", "Boss@x.example")
            .with_variable("ADMIN_PASSWORD", "Another-Horse-8")
            .start();
        let boss = good(&login(gateway.address, "boss@x.example", "Another-Horse-8").await);
        assert_eq!(boss["user"]["is_admin"], true, "{boss}");
        assert_eq!(login(gateway.address, "boss@x.example", PASSWORD).await.http, 401);
        let refresh = json!({ "refresh_token": squatter["refresh_token"] });
        assert_eq!(ask(gateway.address, &super::REFRESH, refresh, &[]).await.http, 401);
        let token = bearer(text(&squatter, "access_token"));
        assert_eq!(me(gateway.address, &[("authorization", &token)]).await.http, 401);
        assert_eq!(
            login(gateway.address, ADMIN, super::ADMIN_PASSWORD).await.http,
            200,
            "a user like others"
        );
    }
}

/// As no call can: the last admin stays.
async fn take_the_admin_away(place: &Place) {
    use sqlx::Connection as _;
    let mut database = sqlx::SqliteConnection::connect(&place.database).await.unwrap();
    sqlx::raw_sql("UPDATE accounts SET roles = '[\"user\"]', admin = FALSE")
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
}
