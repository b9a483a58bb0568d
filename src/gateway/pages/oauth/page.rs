//! The pages themselves: plain HTML that works without a script, in a style of the gateway's own.

use std::fmt::Write as _;

use tonic::Status;

use super::Asked;
use crate::{
    gateway::pages::{
        assets,
        html::{self, escape},
    },
    services::oauth::{Question, Server, origin},
    surface::Response,
};

/// A page to log in. `before`: what was tried, and why that is not it.
pub(super) fn login(
    asked: &Asked<'_>,
    question: &Question,
    form: &str,
    before: Option<(&str, &str)>,
) -> Result<Response, Status> {
    let title = escape(&asked.snapshot.config.rest.title);
    let (email, wrong) = before.unwrap_or_default();
    let mut body = format!(
        "<h1>Log in</h1>\n<p><strong>{}</strong> wants to use tools of {title} for you.</p>\n",
        escape(&question.client.name)
    );
    // Writing into a string cannot fail.
    if !wrong.is_empty() {
        let _ = writeln!(body, "<p class=\"wrong\" role=\"alert\">{}</p>", escape(wrong));
    }
    let _ = writeln!(body, "<form method=\"post\" action=\"{}\">", escape(asked.path));
    hidden(&mut body, "form", form);
    let request = &question.request;
    let scopes = request.scopes.join(" ");
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", request.client.as_str()),
        ("redirect_uri", &request.redirect),
        ("code_challenge", &request.challenge),
        ("code_challenge_method", "S256"),
        ("resource", &request.resource),
        ("scope", &scopes),
        ("state", &request.state),
    ] {
        if !value.is_empty() {
            hidden(&mut body, name, value);
        }
    }
    let focus = if email.is_empty() { ("autofocus ", "") } else { ("", "autofocus ") };
    let _ = write!(
        body,
        "<label for=\"email\">E-mail</label>\n<input id=\"email\" name=\"email\" type=\"email\" value=\"{}\" \
         autocomplete=\"username\" {}required>\n<label for=\"password\">Password</label>\n<input id=\"password\" \
         name=\"password\" type=\"password\" autocomplete=\"current-password\" {}required>\n\
         <button class=\"main\">Log in</button>\n</form>\n",
        escape(email),
        focus.0,
        focus.1
    );
    whole(asked, "Log in", &body, Some(&request.redirect))
}

/// A page that asks whether the program may.
pub(super) fn consent(
    asked: &Asked<'_>,
    server: &Server<'_>,
    question: &Question,
    form: &str,
    ticket: &str,
    email: &str,
) -> Result<Response, Status> {
    let title = escape(&asked.snapshot.config.rest.title);
    let (client, request) = (&question.client, &question.request);
    let mut body = format!(
        "<h1>Let {} in?</h1>\n<p>It could do this at {title} as <strong>{}</strong>:</p>\n<ul>\n",
        escape(&client.name),
        escape(email)
    );
    for scope in &request.scopes {
        let words = server.rules.scopes.iter().find(|(name, _)| **name == **scope).map(|(_, words)| &**words);
        let _ = writeln!(body, "<li>{} <code>{}</code></li>", escape(words.unwrap_or(scope)), escape(scope));
    }
    if request.scopes.is_empty() {
        body.push_str("<li>Use the tools that you may use</li>\n");
    }
    let to = escape(&origin(&request.redirect));
    let who = match &client.host {
        Some(host) => format!("It is described at <strong>{}</strong>.", escape(host)),
        None => "It has given itself its name; nobody has checked it.".to_owned(),
    };
    let _ = write!(
        body,
        "</ul>\n<p class=\"quiet\">{who} Your answer goes to <strong>{to}</strong>. If you did not begin this, \
         say no.</p>\n<form method=\"post\" action=\"{}\">\n",
        escape(asked.path)
    );
    hidden(&mut body, "form", form);
    hidden(&mut body, "ticket", ticket);
    body.push_str(
        "<div class=\"answers\"><button class=\"main\" name=\"answer\" value=\"allow\">Allow</button>\n\
         <button name=\"answer\" value=\"deny\">No</button></div>\n</form>\n",
    );
    whole(asked, "Let a program in?", &body, Some(&request.redirect))
}

/// A page that says why nobody is asked.
pub(super) fn failure(asked: &Asked<'_>, why: &str) -> Result<Response, Status> {
    let body =
        format!("<h1>This does not work</h1>\n<p class=\"wrong\" role=\"alert\">{}</p>\n", escape(why));
    whole(asked, "This does not work", &body, None)
}

fn hidden(body: &mut String, name: &str, value: &str) {
    let _ = writeln!(body, "<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value));
}

/// `leads`: where its form may lead in the end, which browsers hold against the policy as well.
fn whole(asked: &Asked<'_>, title: &str, body: &str, leads: Option<&str>) -> Result<Response, Status> {
    let name = escape(&asked.snapshot.config.rest.title);
    let style = escape(&assets::path(asked.path, "oauth.css"));
    let head =
        format!("<meta name=\"robots\" content=\"noindex\">\n<link rel=\"stylesheet\" href=\"{style}\">\n");
    let leads = leads.map(|redirect| format!(" {}", origin(redirect))).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'self'{leads}; \
         frame-ancestors 'none'"
    );
    let body = format!("<main>\n<p class=\"name\">{name}</p>\n{body}</main>\n");
    html::page(&format!("{title} · {name}"), &head, &body, &policy, &asked.request.headers)
}
