//! Where people are asked: who they are, and whether a program may use tools for them. Without scripts and without a session:
//! each page is a form of its own. What a form sends is taken from the browser that it was shown in alone, which holds a
//! cookie that no other page can read; and a program hears of nothing before it is known to be who may ask.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tonic::{Code, Status};

use super::{Asked, form, page, server_of};
use crate::{
    auth::digest,
    services::oauth::{Answered, Error, Form, NotAsked, Question, Refused, Server},
    status::{self, Fault},
    surface::{Failed, Response},
};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// As it stands in a query.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Bytes of what a browser is known by.
const BROWSER: usize = 32;

/// What a browser is known by while its reader is asked.
struct Browser {
    secret: String,
    /// It was given to it with this answer.
    new: bool,
    secure: bool,
}

impl Browser {
    /// That of a request, or a new one.
    fn of(headers: &HeaderMap, secure: bool) -> Result<Self, Status> {
        let fits = |value: &&str| value.len() == 43 && URL_SAFE_NO_PAD.decode(value).is_ok();
        let name = Self::name(secure);
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
        let mut named = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value);
        if let Some(known) = named.next().filter(fits) {
            return Ok(Self { secret: known.to_owned(), new: false, secure });
        }
        let mut random = [0; BROWSER];
        aws_lc_rs::rand::fill(&mut random)
            .map_err(|_| Status::internal("the machine gives no randomness"))?;
        Ok(Self { secret: URL_SAFE_NO_PAD.encode(random), new: true, secure })
    }

    /// Under TLS a name that no other host may set.
    fn name(secure: bool) -> &'static str {
        if secure { "__Host-propylon-oauth" } else { "propylon-oauth" }
    }

    /// What a form must say that was shown in it.
    fn form(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(format!("form {}", self.secret).as_bytes()))
    }

    /// What is kept of it.
    fn digest(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(format!("ticket {}", self.secret).as_bytes()))
    }

    fn cookie(&self) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let cookie =
            format!("{}={}; Path=/; HttpOnly; SameSite=Lax{secure}", Self::name(self.secure), self.secret);
        HeaderValue::try_from(cookie).ok().filter(|_| self.new)
    }
}

/// Answers a browser.
///
/// # Errors
/// The machine gives no randomness.
pub(super) async fn answer(asked: &Asked<'_>, origin: String, body: &[u8]) -> Result<Response, Status> {
    let secure = origin.starts_with("https:");
    let browser = Browser::of(&asked.request.headers, secure)?;
    let server = server_of(asked, origin);
    let answered = match asked.request.method {
        Method::POST => post(asked, &server, &browser, body).await,
        _ => {
            let query = asked.request.uri.query().unwrap_or_default();
            match Form::read(query) {
                Ok(form) => show(asked, &server, &browser, &form).await,
                Err(error) => Err(Refused::Oauth(error)),
            }
        }
    };
    let mut response = match answered {
        Ok(response) => response,
        Err(refused) => failure(asked, &refused)?,
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend(browser.cookie().map(|cookie| (header::SET_COOKIE, cookie)));
    Ok(response)
}

/// The first page: who are you?
async fn show(
    asked: &Asked<'_>,
    server: &Server<'_>,
    browser: &Browser,
    form: &Form,
) -> Result<Response, Refused> {
    match server.question(form).await {
        Ok(question) => Ok(page::login(asked, &question, &browser.form(), None)?),
        Err(NotAsked::Here(refused)) => Err(refused),
        Err(NotAsked::Back { redirect, state, error }) => {
            Ok(back(server, &Answered { redirect, state, outcome: Err(error) }))
        }
    }
}

/// A form: a login, or an answer.
async fn post(
    asked: &Asked<'_>,
    server: &Server<'_>,
    browser: &Browser,
    body: &[u8],
) -> Result<Response, Refused> {
    let headers = &asked.request.headers;
    let form = form(headers, body)?;
    let elsewhere =
        headers.get(&FETCH_SITE).is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
    let shown = form.get("form").unwrap_or_default();
    if elsewhere
        || browser.new
        || !bool::from(subtle::ConstantTimeEq::ct_eq(shown.as_bytes(), browser.form().as_bytes()))
    {
        let why =
            "the form was not shown in this browser, or cookies are switched off; begin again in the program";
        return Err(Fault::client().on(Status::permission_denied(why)).into());
    }
    if let Some(ticket) = form.get("ticket") {
        let yes = form.get("answer") == Some("allow");
        let over = || {
            let why = "you took longer than ten minutes, or have answered before; begin again in the program";
            Error { code: "invalid_request", why: why.to_owned() }
        };
        let answered = server.answer(ticket, &browser.digest(), yes).await?.ok_or_else(over)?;
        return Ok(back(server, &answered));
    }
    let question = match server.question(&form).await {
        Ok(question) => question,
        Err(NotAsked::Here(refused)) => return Err(refused),
        Err(NotAsked::Back { redirect, state, error }) => {
            return Ok(back(server, &Answered { redirect, state, outcome: Err(error) }));
        }
    };
    login(asked, server, browser, &form, &question).await
}

async fn login(
    asked: &Asked<'_>,
    server: &Server<'_>,
    browser: &Browser,
    form: &Form,
    question: &Question,
) -> Result<Response, Refused> {
    let (email, password) = (form.get("email").unwrap_or_default(), form.get("password").unwrap_or_default());
    let again = |status: &Status, http: StatusCode| {
        let mut response = page::login(asked, question, &browser.form(), Some((email, status.message())))?;
        *response.status_mut() = http;
        response.extensions_mut().insert(Failed {
            code: status.code(),
            message: status.message().to_owned(),
            number: None,
        });
        Ok::<_, Refused>(response)
    };
    match server.log_in(question, email, password, &browser.digest()).await {
        Ok(Some((ticket, email))) => {
            Ok(page::consent(asked, server, question, &browser.form(), &ticket, &email)?)
        }
        Ok(None) => again(
            &Status::unauthenticated("The e-mail address or the password is not right."),
            StatusCode::UNAUTHORIZED,
        ),
        Err(status) if status.code() == Code::ResourceExhausted => {
            again(&status, StatusCode::TOO_MANY_REQUESTS)
        }
        Err(status) => Err(status.into()),
    }
}

/// Sends an answer to the program, with whose it is (RFC 9207).
fn back(server: &Server<'_>, answered: &Answered) -> Response {
    let Answered { redirect, state, outcome } = answered;
    let mut parameters = match outcome {
        Ok(code) => vec![("code", code.as_str())],
        Err(error) => vec![("error", error.code), ("error_description", error.why.as_str())],
    };
    if !state.is_empty() {
        parameters.push(("state", state));
    }
    parameters.push(("iss", &server.origin));
    let query: Vec<String> = parameters
        .into_iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, ESCAPED)))
        .collect();
    let mark = if redirect.contains('?') { '&' } else { '?' };
    let mut headers = HeaderMap::new();
    // It was registered as visible ASCII.
    if let Ok(location) = HeaderValue::try_from(format!("{redirect}{mark}{}", query.join("&"))) {
        headers.insert(header::LOCATION, location);
    }
    super::response(StatusCode::SEE_OTHER, headers, Bytes::new())
}

/// A page that says why nobody is asked: there is nowhere to send that to.
fn failure(asked: &Asked<'_>, refused: &Refused) -> Result<Response, Status> {
    let (why, http, code) = match refused {
        Refused::Oauth(error) => (error.why.as_str(), StatusCode::BAD_REQUEST, Code::InvalidArgument),
        Refused::Status(status) if status.code() == Code::Internal => {
            ("the gateway failed", StatusCode::INTERNAL_SERVER_ERROR, Code::Internal)
        }
        Refused::Status(status) => (status.message(), status::http(status), status.code()),
    };
    let mut response = page::failure(asked, why)?;
    *response.status_mut() = http;
    response.extensions_mut().insert(Failed { code, message: why.to_owned(), number: None });
    Ok(response)
}
