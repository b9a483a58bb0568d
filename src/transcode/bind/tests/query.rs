//! Query parameters: every type, and everything that is refused.

use super::*;

#[test]
fn query_fields_of_every_type() {
    let get = |query: &str, want: &str| {
        check(&format!("GET /v1/shelves/7?{query}"), "", &format!(r#"{{"name":"shelves/7"{want}}}"#));
    };
    get("", "");
    get("&&", "");
    get(
        "i32=-1&i64=-9223372036854775808&u32=1&u64=18446744073709551615",
        r#","i32":-1,"i64":"-9223372036854775808","u32":1,"u64":"18446744073709551615""#,
    );
    get(
        "s32=-1&s64=-2&f32=3&f64=4&sf32=-5&sf64=-6",
        r#","s32":-1,"s64":"-2","f32":3,"f64":"4","sf32":-5,"sf64":"-6""#,
    );
    get("flo=1.5&dou=-2e3", r#","flo":1.5,"dou":-2000"#);
    get("flo=NaN&dou=-Infinity", r#","flo":"NaN","dou":"-Infinity""#);
    get("is_open=true", r#","is_open":true"#);
    get("isOpen=true", r#","is_open":true"#);
    get("data=_-8%3D", r#","data":"/+8=""#);
    get("data=/+8=", r#","data":"/+8=""#);
    get("blob=/+8=", r#","blob":"/+8=""#);
    get("data=%2F%2B8", r#","data":"/+8=""#);
    get("genre=CRIME", r#","genre":"CRIME""#);
    get("genre=-2", r#","genre":"CRIME""#);
    get("genre=77", r#","genre":77"#);
    get("at=2024-01-01T00:00:00Z&ttl=1.5s", r#","at":"2024-01-01T00:00:00Z","ttl":"1.500s""#);
    get("mask=a,b.c_d,eF", r#","mask":"a,b.cD,eF""#);
    get(
        "note=a+b%26c&count=-3&flag=false&blob=_w",
        r#","note":"a b&c","count":"-3","flag":false,"blob":"/w==""#,
    );
    get("note=", r#","note":"""#);
    get(
        "struct=%7B%22a%22:1%7D&value=%5B1,null%5D&list=%5Btrue%5D",
        r#","struct":{"a":1},"value":[1,null],"list":[true]"#,
    );
    get("value=null", r#","value":null"#);
    get("tags=a&tags=b&tags=a", r#","tags":["a","b","a"]"#);
    get("numbers=1&tags=a&numbers=2", r#","tags":["a"],"numbers":[1,2]"#);
    get("genres=1&genres=CRIME", r#","genres":["POETRY","CRIME"]"#);
    get(
        "times=2024-01-01T00:00:00Z&times=2024-01-02T00:00:00Z",
        r#","times":["2024-01-01T00:00:00Z","2024-01-02T00:00:00Z"]"#,
    );
    get("labels[a]=1&labels[b.c%5D]=2", r#","labels":{"a":"1","b.c]":"2"}"#);
    get("by_number[-1]=POETRY", r#","by_number":{"-1":"POETRY"}"#);
    get(
        "book.title=x&book.author.born=1900&book.tags=t",
        r#","book":{"title":"x","author":{"born":1900},"tags":["t"]}"#,
    );
    get("book.labels[k]=v", r#","book":{"labels":{"k":"v"}}"#);
    get("maybe=", r#","maybe":"""#);
    get("%6Eame=shelves/7", "");
    get("i32=1&i32=1", r#","i32":1"#);
    get("id=x", r#","id":"x""#);
    get("author.name=x&author.born=1", r#","author":{"name":"x","born":1}"#);
    get("book.published=2024-01-01T00:00:00Z", r#","book":{"published":"2024-01-01T00:00:00Z"}"#);
}

#[test]
fn query_fields_that_are_refused() {
    let get = |query: &str, want: &str| refuse(&format!("GET /v1/shelves/7?{query}"), "", want);
    get("pag=1", "the query parameter \"pag\": shop.Request has no field \"pag\"");
    get(
        "isOpne=true",
        "the query parameter \"isOpne\": shop.Request has no field \"isOpne\"; did you mean `is_open`?",
    );
    get(
        "book.titel=x",
        "the query parameter \"book.titel\": shop.Book has no field \"titel\" (in \"book.titel\"); did you mean `title`?",
    );
    get("alt=json", "the query parameter \"alt\": shop.Request has no field \"alt\"; did you mean `at`?");
    get("i32=1&i32=2", "i32: given twice, with different values");
    get("i32=0&i32=2", "i32: given twice, with different values");
    get("i32=", "i32: \"\" is not an int32");
    get("i32=+1", "i32: \" 1\" is not an int32");
    get("i32=%2B1", "i32: \"+1\" is not an int32");
    get("i32=1.5", "i32: \"1.5\" is not an int32");
    get("u32=-1", "u32: \"-1\" is not a uint32");
    get("flo=1e39", "flo: \"1e39\" is out of range of a float");
    get("dou=1e309", "dou: \"1e309\" is out of range of a double");
    get("dou=inf", "dou: \"inf\" is not a double");
    get("dou=.5", "dou: \".5\" is not a double");
    get("dou=0x1", "dou: \"0x1\" is not a double");
    get("is_open=1", "is_open: \"1\" is not a bool (true or false)");
    get("is_open", "is_open: \"\" is not a bool (true or false)");
    get("flag=yes", "flag: \"yes\" is not a bool (true or false)");
    get("data=a*b", "data: \"a*b\" is not base64");
    get("genre=POETRI", "genre: shop.Genre has no value \"POETRI\"; did you mean `POETRY`?");
    get("mask=a,,b", "mask: \"a,,b\" is not a field mask (field paths separated by commas)");
    get("name=shelves/8", "name: given by the path and, differently, by the query");
    get("id=x&number=1", "number: number and id are both of the oneof key");
    get("author.name=x&id=y", "id: id and author are both of the oneof key");
    get("at=2024-01-01T00:00:00Z&at.seconds=5", "at.seconds: given as a whole and in parts");
    get("labels[a]=1&labels[a]=2", "labels[\"a\"]: given twice, with different values");
    get("labels=1", "labels: a map: write labels[key]=value");
    get("i32[a]=1", "i32[\"a\"]: i32 is no map and takes no key");
    get("by_number[x]=1", "by_number[\"x\"]: \"x\" is not an int32");
    get("books[a]=1", "books[\"a\"]: a map of messages cannot be given in a URL");
    get("book=x", "book: shop.Book has no text form; name its fields, as in \"book.field=\"");
    get("any=x", "any: google.protobuf.Any has no text form; name its fields, as in \"any.field=\"");
    get(
        "list_of_books.title=x",
        "the query parameter \"list_of_books.title\": list_of_books is repeated: only its values can be given",
    );
    get("i32.x=1", "the query parameter \"i32.x\": i32 is no message and has no field \"x\"");
    get("tags=%zz", "the query parameter \"tags\": a \"%\" without two hexadecimal digits");
    get("tags=%ff", "the query parameter \"tags\": its escapes are not UTF-8");
    let deep =
        message(&format!("GET /v1/shelves/7?{}name=1", "nested.".repeat(100)), "", JsonInput::default());
    assert_eq!(deep.unwrap_err().kind(), ErrorKind::Depth);
}

#[test]
fn unknown_parameters_can_be_ignored() {
    let input = JsonInput { ignore_unknown: true };
    let get = |query: &str| message(&format!("GET /v1/shelves/7?{query}"), "", input).unwrap();
    assert_eq!(get("nope=1&i32=2&book.nope=3&genre=NOPE"), r#"{"name":"shelves/7","i32":2}"#);
    assert_eq!(message("POST /v1/shelves/7?i32=1", "", input).unwrap(), r#"{"name":"shelves/7"}"#);
}

#[test]
fn many_parameters_stay_cheap() {
    let distinct: String = (0..2000).map(|n| format!("labels[{n}]=x&")).collect();
    refuse(
        &format!("GET /v1/shelves/7?{distinct}"),
        "",
        "labels[\"999\"]: more than 1000 different fields in one URL",
    );
    let repeated = "tags=x&".repeat(20_000);
    assert!(message(&format!("GET /v1/shelves/7?{repeated}"), "", JsonInput::default()).is_ok());
}

#[test]
fn every_part_of_a_path_and_a_query_is_explained() {
    let plan = |template: &str, body: &str| {
        let sources = [("google/api/httpbody.proto", HTTP_BODY_SOURCE), ("shop.proto", SOURCE)];
        let schema = Schema::decode(&compile(&sources, true)).unwrap();
        let method = schema.method("/shop.Shop/Get").unwrap();
        let rule = HttpRule::new("shop.Shop.Get", Verb::Get, template).with_body(body);
        let binding = Binding::resolve(method, &rule).unwrap();
        let codec = Tables::compile(schema.pool()).codec("shop.Request").unwrap();
        RequestPlan::compile(&binding, &codec).unwrap()
    };
    let input = JsonInput::default();
    let shown = |parameters: Vec<Parameter>| {
        let shown = parameters.into_iter().map(|p| {
            format!("{}={} {}:{} {}", p.name, p.value, p.field, p.type_name, p.problem.unwrap_or_default())
        });
        shown.collect::<Vec<_>>()
    };
    let get = plan("/v1/at/{at}/{book.name}", "");
    let path = shown(get.explain_path(&["soon".into(), "b".into()], &input));
    assert!(
        path[0].starts_with("at=soon at:google.protobuf.Timestamp ") && path[0].contains("soon"),
        "{path:?}"
    );
    assert_eq!(path[1], "book.name=b book.name:string ");
    let query = shown(get.explain_query("isOpen=true&tags=a+b&&genre=X&labels[k]=v&nme=1&%zz", &input));
    assert_eq!(query[0], "isOpen=true is_open:bool ");
    assert_eq!(query[1], "tags=a b tags:repeated string ");
    assert!(query[2].starts_with("genre=X genre:shop.Genre ") && query[2].len() > 26, "{query:?}");
    assert_eq!(query[3], "labels[k]=v labels:map ");
    assert!(query[4].starts_with("nme=1 : shop.Request has no field \"nme\""), "{query:?}");
    assert!(query[5].starts_with("%zz= : ") && query[5].contains("hexadecimal"), "{query:?}");
    let post = plan("/v1/ids/{id}", "*");
    let query = shown(post.explain_query("i32=1", &input));
    assert_eq!(query, ["i32=1 : the whole request is in the body here; there are no query parameters"]);
    let skips = JsonInput { ignore_unknown: true };
    assert_eq!(shown(get.explain_query("nme=1", &skips)), ["nme=1 : "]);
}
