//! What the fields of the account services' requests must hold, as JSON Schema says it: the same numbers that the checks use.
//! Some of what is taken is not promised, such as letters beyond ASCII in an e-mail address.

use serde_json::{Map, Value, json};

use super::{check, password};
use crate::transcode::json_schema::Form;

/// One address, of ASCII alone.
const EMAIL: &str = r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$";
/// Printable ASCII that neither begins nor ends with a space.
const NAME: &str = r"^[!-~]([ -~]{0,62}[!-~])?$";
/// Not one character over and over, and no NUL.
const PASSWORD: &str = r"^(?!([\s\S])\1*$)[^\u0000]+$";
const WORD: &str = r"^[!#-+\--\[\]-~]{1,100}$";
const WORD_OR_NOTHING: &str = r"^[!#-+\--\[\]-~]{0,100}$";
/// 1 to 3650, as text.
const DAYS: &str = "^([1-9][0-9]{0,2}|[12][0-9]{3}|3[0-5][0-9]{2}|36[0-4][0-9]|3650)$";
/// What `update_mask` may name, in either spelling.
const MASK: &str = r"^(username|roles|permissions|tier|is_active|isActive)(,(username|roles|permissions|tier|is_active|isActive))*$";
/// Whatever an answer has given as `next_page_token`.
const TOKEN: &str = "^[!-~]{0,64}$";
const NO_NUL: &str = r"^[^\u0000]*$";

/// What a field of the gateway's own messages, by its full name, must hold beyond its type.
#[must_use]
pub fn form(field: &str) -> Option<Form> {
    let (message, field) = field.strip_prefix("propylon.gateway.v1.")?.split_once('.')?;
    Some(match (message, field) {
        ("RegisterRequest", "email") => email().required(),
        ("RegisterRequest", "username") => name().required(),
        ("RegisterRequest", "password") => new_password().required(),
        ("LoginRequest", "email") => of(json!({})).like("ann@example.com").required(),
        ("LoginRequest", "password") => {
            of(json!({"format": "password"})).like("correct horse battery").required()
        }
        ("RefreshRequest", "refresh_token") => of(json!({})).required(),
        ("LogoutRequest", "all") => of(json!({})).like(false),
        ("UpdateProfileRequest", "username") => name(),
        ("UpdateProfileRequest", "profile") => profile(),
        ("UpdateProfileRequest", "password") => new_password(),
        ("CreateApiKeyRequest", "name") => name().required().like("nightly build"),
        ("CreateApiKeyRequest", "user_id") => of(json!({})).like(""),
        // A user is sent by nobody but who updates one.
        ("CreateApiKeyRequest" | "User", "roles") => words("user"),
        ("CreateApiKeyRequest" | "User", "permissions") => words("books:read"),
        ("CreateApiKeyRequest", "scopes") => words("books"),
        ("CreateApiKeyRequest", "tier") => of(json!({"pattern": WORD_OR_NOTHING})).like("premium"),
        ("CreateApiKeyRequest", "expires_in_days") => {
            of(json!({"minimum": 1, "maximum": check::MOST_DAYS, "pattern": DAYS})).like(90)
        }
        ("ListApiKeysRequest" | "ListUsersRequest" | "ListAuditLinesRequest", "page_size") => {
            of(json!({"minimum": 0, "maximum": check::MOST_OF_A_PAGE})).like(100)
        }
        ("ListApiKeysRequest" | "ListUsersRequest" | "ListAuditLinesRequest", "page_token") => {
            of(json!({"pattern": TOKEN}))
        }
        ("ListUsersRequest", "email") => of(json!({"maxLength": check::EMAIL_PART, "pattern": NO_NUL})),
        ("UpdateUserRequest", "user") => of(json!({"minProperties": 1})).required(),
        ("UpdateUserRequest", "update_mask") => of(json!({"pattern": MASK})),
        ("User", "username") => of(json!({"pattern": NAME_OR_NOTHING, "maxLength": check::NAME})).like("Ann"),
        ("User", "tier") => of(json!({"pattern": WORD_OR_NOTHING})).like("free"),
        ("User", "email") => read_only().like("ann@example.com"),
        ("User", "is_admin") => read_only().like(false),
        ("User", "profile" | "created_at" | "updated_at" | "last_login_at") => read_only(),
        _ => return None,
    })
}

/// A name, or nothing, which stands for the first part of the e-mail address.
const NAME_OR_NOTHING: &str = r"^([!-~]([ -~]{0,62}[!-~])?)?$";

fn of(keywords: Value) -> Form {
    let keywords = if let Value::Object(keywords) = keywords { keywords } else { Map::new() };
    Form { keywords, ..Form::default() }
}

fn read_only() -> Form {
    of(json!({"readOnly": true}))
}

fn email() -> Form {
    of(json!({"format": "email", "pattern": EMAIL, "maxLength": check::EMAIL_BYTES})).like("ann@example.com")
}

fn name() -> Form {
    of(json!({"pattern": NAME, "minLength": 1, "maxLength": check::NAME})).like("Ann")
}

fn new_password() -> Form {
    of(json!({
        "format": "password", "minLength": password::LEAST, "maxLength": password::MOST, "pattern": PASSWORD,
    }))
    .like("correct horse battery")
}

fn words(one: &str) -> Form {
    let items = json!({"type": "string", "pattern": WORD});
    of(json!({"items": items, "maxItems": check::WORDS})).like(json!([one]))
}

fn profile() -> Form {
    of(json!({
        "maxProperties": check::ENTRIES,
        "propertyNames": {
            "type": "string", "minLength": 1, "maxLength": check::ENTRY_NAME, "pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$",
        },
        "additionalProperties": {"type": "string", "maxLength": check::ENTRY_VALUE, "pattern": NO_NUL},
    }))
    .like(json!({"city": "Basel"}))
}

impl Form {
    fn required(self) -> Self {
        Self { required: true, ..self }
    }

    fn like(self, example: impl Into<Value>) -> Self {
        Self { example: Some(example.into()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is about a field that there is, and shows what it demands.
    #[test]
    fn every_form_is_of_a_field_and_its_example_will_do() {
        let pool = prost_reflect::DescriptorPool::decode(crate::proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut found = 0;
        for message in pool.all_messages() {
            for field in message.fields() {
                let Some(form) = form(field.full_name()) else { continue };
                found += 1;
                if let (false, Some(example)) = (field.is_map(), &form.example) {
                    let schema = Value::Object(form.keywords.clone());
                    let valid = jsonschema::validator_for(&schema).unwrap();
                    assert!(valid.is_valid(example), "{}: {example} for {schema}", field.full_name());
                }
            }
        }
        assert_eq!(found, 36);
    }

    /// What is promised is taken, at its very ends too.
    #[test]
    fn what_the_forms_promise_the_checks_take() {
        let check = |form: Form, texts: &[&str], takes: &dyn Fn(&str) -> bool| {
            let valid = jsonschema::validator_for(&Value::Object(form.keywords)).unwrap();
            let mut promised = 0;
            for text in texts {
                if valid.is_valid(&json!(text)) {
                    promised += 1;
                    assert!(takes(text), "{text:?} is promised and refused");
                }
            }
            assert!(promised > 0 && promised < texts.len(), "{promised} of {}", texts.len());
        };
        let long = "x".repeat(65);
        let texts =
            ["", " ", "a", " a", "a b", "a ", "a\u{200b}b", "~!", &long, &long[..64], "\u{1f}", "ab\n"];
        check(name(), &texts, &|text| check::name(text).is_ok());
        let texts = [
            "",
            "a",
            "a@b",
            "a@b.c",
            "A.b+c@x-y.example",
            "a@-b.example",
            "a@b.example.",
            "a..b@c.example",
            "ann@127.0.0.1",
            "a@b_c.example",
            "!#$@A.COM",
        ];
        check(email(), &texts, &|text| check::email(text).is_ok());
        let (least, most) = ("abcdefgh", "ab".repeat(64));
        let texts = [
            "",
            "aaaaaaaa",
            "abcdefg",
            least,
            &most,
            &format!("{most}x"),
            "abc\0defgh",
            "        x",
            "0000000\n",
        ];
        // That a word is too common is said in words alone.
        check(new_password(), &texts, &|text| text == least || password::check(text, "").is_ok());
        let texts = [
            "",
            "a",
            "a b",
            "a,b",
            "a\"",
            "a\\b",
            "[x]",
            "~",
            "a-b:c",
            "é",
            &"x".repeat(100),
            &"x".repeat(101),
        ];
        let word = of(json!({"pattern": WORD}));
        check(word, &texts, &|text| check::words(&[text.to_owned()]).is_ok());
    }
}
