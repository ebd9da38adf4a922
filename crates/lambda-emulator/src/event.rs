//! Requests as events of payload format 2.0, and answers as responses.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE, TRANSFER_ENCODING,
};
use http::{Request, Response};
use http_body_util::Full;
use serde_json::{Map, Value, json};

/// The event that a function URL makes of a request from `source`.
pub fn event(request: &Request<Bytes>, source: &str) -> Value {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut headers = BTreeMap::<&str, String>::new();
    for (name, value) in request.headers().iter().filter(|(name, _)| *name != COOKIE) {
        let value = text(value);
        headers.entry(name.as_str()).and_modify(|all| *all = format!("{all},{value}")).or_insert(value);
    }
    let cookies: Vec<String> = request.headers().get_all(COOKIE).iter().map(text).collect();
    let cookies: Vec<&str> = cookies.iter().flat_map(|line| line.split("; ")).collect();
    let host = headers.get("host").cloned().unwrap_or_default();
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let mut event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query, "headers": headers,
        "requestContext": {
            "accountId": "anonymous", "apiId": "emulated", "domainName": host, "domainPrefix": "emulated",
            "http": {
                "method": request.method().as_str(), "path": path, "protocol": "HTTP/1.1", "sourceIp": source,
                "userAgent": headers.get("user-agent"),
            },
            "requestId": "00000000-0000-4000-8000-000000000000", "routeKey": "$default", "stage": "$default",
            "time": "01/Jan/2030:00:00:00 +0000", "timeEpoch": 1_893_456_000_000_i64,
        },
        "isBase64Encoded": false,
    });
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if !request.body().is_empty() {
        match std::str::from_utf8(request.body()) {
            Ok(body) if is_text(request.headers()) => event["body"] = json!(body),
            Ok(_) | Err(_) => {
                event["body"] = json!(STANDARD.encode(request.body()));
                event["isBase64Encoded"] = json!(true);
            }
        }
    }
    event
}

/// Whether AWS hands a body on as it is.
fn is_text(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let texts = ["application/json", "application/javascript", "application/xml"];
    media_type.starts_with("text/") || texts.contains(&media_type.as_str())
}

/// The response that a function's answer stands for; none when it can't be one.
pub(crate) fn decode(answer: &[u8]) -> Option<Response<Full<Bytes>>> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let mut response = Response::builder().status(u16::try_from(answer["statusCode"].as_u64()?).ok()?);
    let none = Map::new();
    for (name, value) in answer["headers"].as_object().unwrap_or(&none) {
        let name: HeaderName = name.parse().ok()?;
        // How long the body is and how it is sent is the front's to say.
        if name != CONTENT_LENGTH && name != TRANSFER_ENCODING {
            response = response.header(name, value.as_str()?);
        }
    }
    for cookie in answer["cookies"].as_array().into_iter().flatten() {
        response = response.header(SET_COOKIE, cookie.as_str()?);
    }
    let body = answer["body"].as_str().unwrap_or_default();
    let is_encoded = answer["isBase64Encoded"].as_bool().unwrap_or_default();
    let body = if is_encoded { STANDARD.decode(body).ok()? } else { body.as_bytes().to_vec() };
    response.body(Full::from(body)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_becomes_an_event_and_an_answer_a_response() {
        let request = Request::post("/a%20b?c=d")
            .header("Host", "x.example")
            .header("X-Twice", "1")
            .header("X-Twice", "2")
            .header("Cookie", "a=b; c=d");
        let request = request.body(Bytes::from_static(b"{}")).expect("a request");
        let event = event(&request, "192.0.2.1");
        assert_eq!(event["rawPath"], "/a%20b");
        assert_eq!(event["rawQueryString"], "c=d");
        assert_eq!(event["headers"], json!({ "host": "x.example", "x-twice": "1,2" }));
        assert_eq!(event["cookies"], json!(["a=b", "c=d"]));
        assert_eq!(event["requestContext"]["http"]["sourceIp"], "192.0.2.1");
        assert_eq!(
            (&event["body"], &event["isBase64Encoded"]),
            (&json!("e30="), &json!(true)),
            "no media type"
        );

        let answer = br#"{"statusCode":201,"headers":{"x-a":"b","content-length":"9"},"cookies":["s=1"],"body":"e30=","isBase64Encoded":true}"#;
        let response = decode(answer).expect("a response");
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers().len(), 2);
        assert_eq!(decode(b"\"hello\"").map(|response| response.status()), None);
    }
}
