//! One session from its begin to its end, over each surface, on both kinds of stores, with a second replica that is told.

use serde_json::json;

use super::{
    LOGIN, LOGOUT, ME, PASSWORD, PROFILE, Place, REFRESH, REGISTER, Surface, bearer, call, good, me, text,
    until,
};
use crate::support::gateway::TestGateway;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_over_every_surface_and_both_kinds_of_stores() {
    for place in Place::both() {
        let (gateway, replica) = (place.gateway(), place.gateway());
        for surface in Surface::ALL {
            session(&place, &gateway, &replica, surface).await;
        }
    }
}

async fn session(place: &Place, gateway: &TestGateway, replica: &TestGateway, surface: Surface) {
    let at = gateway.address;
    let name = format!("{surface:?} on {}", place.name);
    let email = format!("{surface:?}@x.example");
    let asked = json!({ "email": email, "username": "Ann", "password": PASSWORD });
    let made = good(&call(surface, at, &REGISTER, &asked, &[]).await);
    assert_eq!((text(&made, "token_type"), &made["expires_in"]), ("bearer", &json!(900)), "{name}: {made}");
    assert_eq!((text(&made["user"], "email"), &made["user"]["roles"]), (&*email, &json!(["user"])), "{name}");
    // The same e-mail, written otherwise.
    let again = json!({ "email": email.to_uppercase(), "username": "Bob", "password": PASSWORD });
    let taken = call(surface, at, &REGISTER, &again, &[]).await;
    assert_eq!((taken.code, taken.message.as_str()), (6, "this e-mail is registered already"), "{name}");

    let wrong = call(surface, at, &LOGIN, &json!({ "email": email, "password": "Wrong-Horse-7" }), &[]).await;
    assert_eq!((wrong.code, wrong.message.as_str()), (16, "Incorrect email or password"), "{name}");
    let logged_in = call(surface, at, &LOGIN, &json!({ "email": email, "password": PASSWORD }), &[]).await;
    let logged_in = good(&logged_in);
    let access = bearer(text(&logged_in, "access_token"));
    let whose = async |access: &str| call(surface, at, &ME, &json!({}), &[("authorization", access)]).await;
    let user = good(&whose(&access).await);
    // Over REST it is the user alone.
    let user = user.get("user").unwrap_or(&user);
    assert_eq!((text(user, "email"), text(user, "id")), (&*email, text(&made["user"], "id")), "{name}");
    let nobody = call(surface, at, &ME, &json!({}), &[]).await;
    assert_eq!(nobody.code, 16, "{name}: {nobody:?}");
    let changed = json!({ "username": "Anna" });
    let changed = good(&call(surface, at, &PROFILE, &changed, &[("authorization", &access)]).await);
    assert_eq!(text(changed.get("user").unwrap_or(&changed), "username"), "Anna", "{name}");

    // A refresh token is used once. Shown again, it ends what came of it.
    let first = text(&logged_in, "refresh_token").to_owned();
    let shown =
        async |token: &str| call(surface, at, &REFRESH, &json!({ "refresh_token": token }), &[]).await;
    let second = good(&shown(&first).await);
    let refreshed = bearer(text(&second, "access_token"));
    assert_eq!(whose(&refreshed).await.code, 0, "{name}");
    for token in [&*first, text(&second, "refresh_token")] {
        let refused = shown(token).await;
        let want = "the refresh token is not good, or is good no longer; log in again";
        assert_eq!((refused.code, refused.message.as_str()), (16, want), "{name}: {refused:?}");
    }
    for token in [&access, &refreshed] {
        let refused = whose(token).await;
        assert_eq!(
            (refused.code, refused.message.as_str()),
            (16, "the credential has been revoked"),
            "{name}"
        );
    }
    // The session of the registration is another one: it goes on, and its logout ends it everywhere.
    let access = bearer(text(&made, "access_token"));
    let headers = [("authorization", access.as_str())];
    assert_eq!((me(at, &headers).await.code, me(replica.address, &headers).await.code), (0, 0), "{name}");
    let left = call(surface, at, &LOGOUT, &json!({}), &headers).await;
    assert_eq!(left.code, 0, "{name}: {left:?}");
    assert_eq!(whose(&access).await.code, 16, "{name}");
    until("the replica is told", || async { me(replica.address, &headers).await.http == 401 }).await;
    let refused = shown(text(&made, "refresh_token")).await;
    assert_eq!(refused.code, 16, "{name}: {refused:?}");
    let again = call(surface, at, &LOGOUT, &json!({}), &headers).await;
    assert_eq!(again.code, 16, "{name}: a token that has ended ends nothing: {again:?}");
    // By a refresh token alone: whoever has it may have no access token that is still good.
    let last = good(&call(surface, at, &LOGIN, &json!({ "email": email, "password": PASSWORD }), &[]).await);
    let by_refresh = json!({ "refresh_token": last["refresh_token"] });
    let left = call(surface, at, &LOGOUT, &by_refresh, &[]).await;
    assert_eq!(left.code, 0, "{name}: {left:?}");
    assert_eq!(whose(&bearer(text(&last, "access_token"))).await.code, 16, "{name}");
}
