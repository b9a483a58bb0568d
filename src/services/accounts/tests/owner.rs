//! What an account's owner does to it.

use super::*;

#[tokio::test]
async fn an_account_is_its_owners() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), Rules::default());
    let made = world.register("alice@x.example").await;
    let other = world.login("alice@x.example", PASSWORD).await.unwrap();
    let by = By::Token(&made.access_token);
    let update = async |change: UpdateProfileRequest| {
        world
            .users
            .update_profile(world.ok(by, change).await)
            .await
            .map(|user| user.into_inner().user.unwrap())
    };
    let change = UpdateProfileRequest {
        username: Some("Alice B.".into()),
        profile: [("city".to_owned(), "Paris".to_owned())].into(),
        ..UpdateProfileRequest::default()
    };
    let user = update(change).await.unwrap();
    assert_eq!(
        (user.username.as_str(), user.profile.get("city").map(String::as_str)),
        ("Alice B.", Some("Paris"))
    );
    // What was read before is not what is read now.
    let read =
        world.users.get_profile(world.ok(by, GetProfileRequest {}).await).await.unwrap().into_inner().user;
    assert_eq!(read, Some(user));
    // A new password wants the current one, and ends the other sessions.
    let new = |current: &str| UpdateProfileRequest {
        password: Some("Another-Horse-8".into()),
        current_password: current.into(),
        ..UpdateProfileRequest::default()
    };
    let status = update(new("wrong")).await.unwrap_err();
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "current_password");
    update(new(PASSWORD)).await.unwrap();
    assert_eq!(world.me(By::Token(&other.access_token)).await.unwrap_err(), revoked());
    assert!(world.me(by).await.is_ok());
    assert!(world.login("alice@x.example", PASSWORD).await.is_err());
    assert!(world.login("alice@x.example", "Another-Horse-8").await.is_ok());
    let stats = world.users.get_stats(world.ok(by, GetStatsRequest {}).await).await.unwrap().into_inner();
    assert_eq!((stats.logins, stats.api_keys, stats.tier.as_str()), (2, 0, "free"));
    assert!(stats.last_login_at.is_some() && stats.member_since.is_some());
    world.users.delete_account(world.ok(by, DeleteAccountRequest {}).await).await.unwrap();
    assert_eq!(world.me(by).await.unwrap_err(), revoked());
    assert!(world.login("alice@x.example", "Another-Horse-8").await.is_err());
    world.register("alice@x.example").await;
    let nobody = world.users.get_profile(world.ok(By::Nobody, GetProfileRequest {}).await).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
}
