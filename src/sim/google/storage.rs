//! Cloud Storage: buckets and objects over the JSON API and plain XML-style GET, PUT, DELETE, with preconditions.
//!
//! Enough for clients that keep state in a bucket: generations, `ifGenerationMatch` and
//! `x-goog-if-generation-match`, listing by prefix and delimiter. Contents are kept in the world, base64.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::Google;
use super::answer::{Call, Refusal, respond};

const BUCKETS: &str = "google/storage-buckets";

/// Storage's times have milliseconds.
fn millis(google: &Google) -> String {
    google.clock.now().rfc3339_micros().replace("000Z", "Z")
}

fn objects(bucket: &str) -> String {
    format!("google/storage-objects/{bucket}")
}

/// Answers a call below `/storage/`, `/upload/storage/` or `/download/storage/`.
pub fn answer(google: &Arc<Google>, call: &Call, words: &[&str], request_id: &str) -> Response<Body> {
    let result = match words {
        ["download", rest @ ..] | ["upload", rest @ ..] => route(google, call, words[0], rest),
        _ => route(google, call, "", words),
    };
    match result {
        Ok(response) => response,
        Err(refusal) => respond(refusal.code, &refusal.body(request_id)),
    }
}

fn route(google: &Google, call: &Call, way: &str, words: &[&str]) -> Result<Response<Body>, Refusal> {
    let ok = |body: Json| Ok(respond(200, &body));
    match words {
        ["storage", "v1", "b"] if call.method == Method::POST => {
            let body = call.json()?;
            let name = body["name"].as_str().unwrap_or_default().to_owned();
            if name.len() < 3 {
                return Err(Refusal::new(400, "", "invalid", format!("Invalid bucket name: '{name}'")));
            }
            if google.world.get(BUCKETS, &name).is_some() {
                let text = "Your previous request to create the named bucket succeeded and you already own it.";
                return Err(Refusal::new(409, "", "conflict", text));
            }
            google.world.put(BUCKETS, &name, json!({"_created": millis(google), "body": body}));
            ok(bucket(google, &name)?)
        }
        ["storage", "v1", "b"] => {
            let all: Result<Vec<Json>, Refusal> =
                google.world.section(BUCKETS).keys().map(|name| bucket(google, name)).collect();
            ok(json!({"kind": "storage#buckets", "items": all?}))
        }
        ["storage", "v1", "b", name] if call.method == Method::GET => ok(bucket(google, name)?),
        ["storage", "v1", "b", name] if call.method == Method::DELETE => {
            bucket(google, name)?;
            if !google.world.section(&objects(name)).is_empty() {
                return Err(Refusal::new(409, "", "conflict", "The bucket you tried to delete is not empty."));
            }
            google.world.remove(BUCKETS, name);
            Ok(respond(204, &Json::Null))
        }
        ["storage", "v1", "b", name, "o"] if way == "upload" => {
            bucket(google, name)?;
            upload(google, call, name)
        }
        ["storage", "v1", "b", name, "o"] => {
            bucket(google, name)?;
            ok(list(google, call, name))
        }
        ["storage", "v1", "b", name, "o", object @ ..] if !object.is_empty() => {
            bucket(google, name)?;
            one(google, call, way, name, &object.join("/"))
        }
        // The XML API under one prefix: clients are given `…/storage/` as their base.
        ["storage", name] | ["storage", name, ""] if *name != "v1" && call.method == Method::GET => {
            bucket(google, name)?;
            Ok(listing(google, call, name))
        }
        ["storage", name, object @ ..] if *name != "v1" && !object.is_empty() => {
            bucket(google, name)?;
            plain(google, call, name, &object.join("/"))
        }
        _ => Err(Refusal::new(404, "", "notFound", "Not Found")),
    }
}

fn bucket(google: &Google, name: &str) -> Result<Json, Refusal> {
    let found = google.world.get(BUCKETS, name);
    let found = found.ok_or_else(|| Refusal::new(404, "", "notFound", "The specified bucket does not exist."))?;
    let mut out = json!({
        "kind": "storage#bucket", "id": name, "name": name, "location": "US", "storageClass": "STANDARD",
        "timeCreated": found["_created"], "metageneration": "1",
        "selfLink": format!("https://www.googleapis.com/storage/v1/b/{name}"),
    });
    for field in ["location", "storageClass", "labels"] {
        if let Some(value) = found["body"].get(field) {
            out[field] = value.clone();
        }
    }
    Ok(out)
}

fn metadata(bucket: &str, name: &str, stored: &Json) -> Json {
    let mut out = json!({
        "kind": "storage#object", "id": format!("{bucket}/{name}/{}", stored["generation"].as_str().unwrap_or_default()),
        "name": name, "bucket": bucket, "generation": stored["generation"], "metageneration": "1",
        "contentType": stored["type"], "size": stored["size"], "md5Hash": "", "etag": stored["etag"],
        "timeCreated": stored["created"], "updated": stored["created"], "storageClass": "STANDARD",
        "selfLink": format!("https://www.googleapis.com/storage/v1/b/{bucket}/o/{name}"),
    });
    if let Some(object) = out.as_object_mut() {
        object.remove("md5Hash");
    }
    out
}

/// Checks a precondition against what is stored now.
fn precondition(call: &Call, stored: Option<&Json>) -> Result<(), Refusal> {
    let header = |name: &str| call.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let current = stored.and_then(|s| s["generation"].as_str()).unwrap_or("0");
    let failed = || {
        let text = "At least one of the pre-conditions you specified did not hold.";
        Err(Refusal::new(412, "", "conditionNotMet", text))
    };
    let wanted = call.query("ifGenerationMatch").map(str::to_owned).or_else(|| header("x-goog-if-generation-match"));
    if wanted.is_some_and(|wanted| wanted != current) {
        return failed();
    }
    let unwanted = call.query("ifGenerationNotMatch").map(str::to_owned);
    if unwanted.is_some_and(|unwanted| unwanted == current) {
        return failed();
    }
    let etag = stored.and_then(|s| s["etag"].as_str());
    if header("if-match").is_some_and(|wanted| wanted != "*" && Some(wanted.trim_matches('"')) != etag) {
        return failed();
    }
    if header("if-none-match").is_some_and(|wanted| wanted == "*" && stored.is_some()) {
        return failed();
    }
    Ok(())
}

fn store(google: &Google, call: &Call, bucket: &str, name: &str, kind: &str, bytes: &[u8]) -> Result<Json, Refusal> {
    let old = google.world.get(&objects(bucket), name);
    precondition(call, old.as_deref())?;
    let generation = (google.clock.now().0 * 1000 + google.serial() % 1000).to_string();
    let etag = google.digits(&format!("etag {generation}"), 16);
    let stored = json!({
        "generation": generation, "etag": etag, "size": bytes.len().to_string(), "type": kind,
        "created": millis(google), "data": STANDARD.encode(bytes),
    });
    let shown = metadata(bucket, name, &stored);
    google.world.put(&objects(bucket), name, stored);
    Ok(shown)
}

fn upload(google: &Google, call: &Call, bucket: &str) -> Result<Response<Body>, Refusal> {
    let kind =
        call.headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or("application/octet-stream").to_owned();
    if call.query("uploadType") == Some("multipart") {
        let bad = || Refusal::new(400, "", "invalid", "Invalid multipart request.");
        let boundary = kind.split("boundary=").nth(1).map(|b| b.trim_matches(['"', '\''])).ok_or_else(bad)?;
        let parts = multipart(&call.bytes, boundary).ok_or_else(bad)?;
        let [about, content] = parts.as_slice() else { return Err(bad()) };
        let about: Json = serde_json::from_slice(about).map_err(|_| bad())?;
        let name = about["name"].as_str().or(call.query("name")).ok_or_else(bad)?.to_owned();
        let kind = about["contentType"].as_str().unwrap_or("application/octet-stream").to_owned();
        return store(google, call, bucket, &name, &kind, content).map(|body| respond(200, &body));
    }
    let name = call.query("name").unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err(Refusal::new(400, "", "required", "Required object name"));
    }
    store(google, call, bucket, &name, &kind, &call.bytes).map(|body| respond(200, &body))
}

/// The contents of the parts of a multipart body.
fn multipart(bytes: &[u8], boundary: &str) -> Option<Vec<Vec<u8>>> {
    let mark = format!("--{boundary}");
    let find = |from: usize, what: &[u8]| bytes[from..].windows(what.len()).position(|w| w == what).map(|at| at + from);
    let mut parts = Vec::new();
    let mut at = find(0, mark.as_bytes())? + mark.len();
    while let Some(end) = find(at, mark.as_bytes()) {
        let part = &bytes[at..end];
        // Some clients end their lines with \n alone.
        let (length, line): (usize, &[u8]) = if part.starts_with(b"\r\n") { (4, b"\r\n") } else { (2, b"\n") };
        let body = part.windows(length).position(|w| w == line.repeat(2))? + length;
        parts.push(part[body..].strip_suffix(line).unwrap_or(&part[body..]).to_vec());
        at = end + mark.len();
    }
    Some(parts)
}

fn list(google: &Google, call: &Call, bucket: &str) -> Json {
    let prefix = call.query("prefix").unwrap_or_default();
    let delimiter = call.query("delimiter").unwrap_or_default();
    let start = call.query("startOffset").unwrap_or_default();
    let mut items = Vec::new();
    let mut prefixes: Vec<String> = Vec::new();
    for (name, stored) in google.world.section(&objects(bucket)) {
        let Some(rest) = name.strip_prefix(prefix) else { continue };
        if name.as_str() < start {
            continue;
        }
        match (delimiter.is_empty(), rest.find(delimiter)) {
            (false, Some(at)) => {
                let folder = format!("{prefix}{}", &rest[..at + delimiter.len()]);
                if prefixes.last() != Some(&folder) {
                    prefixes.push(folder);
                }
            }
            _ => items.push(metadata(bucket, &name, &stored)),
        }
    }
    let size: usize = call.query("maxResults").and_then(|n| n.parse().ok()).unwrap_or(1000);
    let from: usize = call.query("pageToken").and_then(|t| t.parse().ok()).unwrap_or(0);
    let more = items.len() > from + size;
    let items: Vec<Json> = items.into_iter().skip(from).take(size).collect();
    let mut out = json!({"kind": "storage#objects"});
    if !items.is_empty() {
        out["items"] = json!(items);
    }
    if !prefixes.is_empty() {
        out["prefixes"] = json!(prefixes);
    }
    if more {
        out["nextPageToken"] = json!((from + size).to_string());
    }
    out
}

/// The XML API's list of a bucket (`list-type=2`).
fn listing(google: &Google, call: &Call, bucket: &str) -> Response<Body> {
    let prefix = call.query("prefix").unwrap_or_default();
    let size: usize = call.query("max-keys").and_then(|n| n.parse().ok()).unwrap_or(1000);
    let after = call.query("continuation-token").or(call.query("start-after")).unwrap_or_default();
    let all = google.world.section(&objects(bucket));
    let mut found = all.iter().filter(|(name, _)| name.starts_with(prefix) && name.as_str() > after).peekable();
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut text = format!(
        "<?xml version='1.0' encoding='UTF-8'?><ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'>\
         <Name>{bucket}</Name><Prefix>{}</Prefix>",
        escape(prefix)
    );
    let mut last = "";
    for (name, stored) in found.by_ref().take(size) {
        let field = |key: &str| stored[key].as_str().unwrap_or_default().to_owned();
        last = name;
        text.push_str(&format!(
            "<Contents><Key>{}</Key><Generation>{}</Generation><MetaGeneration>1</MetaGeneration>\
             <LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag><Size>{}</Size></Contents>",
            escape(name),
            field("generation"),
            field("created"),
            field("etag"),
            field("size")
        ));
    }
    match found.peek() {
        Some(_) => text.push_str(&format!(
            "<IsTruncated>true</IsTruncated><NextContinuationToken>{}</NextContinuationToken>",
            escape(last)
        )),
        None => text.push_str("<IsTruncated>false</IsTruncated>"),
    }
    text.push_str("</ListBucketResult>");
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert("content-type", axum::http::HeaderValue::from_static("application/xml"));
    response
}

fn found(google: &Google, bucket: &str, name: &str) -> Result<Arc<Json>, Refusal> {
    google
        .world
        .get(&objects(bucket), name)
        .ok_or_else(|| Refusal::new(404, "", "notFound", format!("No such object: {bucket}/{name}")))
}

fn one(google: &Google, call: &Call, way: &str, bucket: &str, name: &str) -> Result<Response<Body>, Refusal> {
    match call.method {
        Method::GET if way == "download" || call.query("alt") == Some("media") => {
            content(call, &*found(google, bucket, name)?)
        }
        Method::GET => {
            let stored = found(google, bucket, name)?;
            precondition(call, Some(&stored))?;
            Ok(respond(200, &metadata(bucket, name, &stored)))
        }
        Method::DELETE => {
            let stored = found(google, bucket, name)?;
            precondition(call, Some(&stored))?;
            google.world.remove(&objects(bucket), name);
            Ok(respond(204, &Json::Null))
        }
        _ => Err(Refusal::new(404, "", "notFound", "Not Found")),
    }
}

/// GET, HEAD, PUT and DELETE of the XML API.
fn plain(google: &Google, call: &Call, bucket: &str, name: &str) -> Result<Response<Body>, Refusal> {
    match call.method {
        Method::PUT => {
            let kind =
                call.headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or("application/octet-stream");
            let stored = store(google, call, bucket, name, kind, &call.bytes)?;
            let mut response = respond(200, &Json::Null);
            label(&mut response, &stored);
            Ok(response)
        }
        Method::GET | Method::HEAD => {
            let mut response = content(call, &*found(google, bucket, name)?)?;
            if call.method == Method::HEAD {
                *response.body_mut() = Body::empty();
            }
            Ok(response)
        }
        _ => one(google, call, "", bucket, name),
    }
}

fn label(response: &mut Response<Body>, stored: &Json) {
    for (header, field) in [("x-goog-generation", "generation"), ("etag", "etag")] {
        let value = stored[field].as_str().unwrap_or_default();
        let value = if header == "etag" { format!("\"{value}\"") } else { value.to_owned() };
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(header, value);
        }
    }
}

/// A moment as HTTP writes it (RFC 9110, 5.6.7).
fn http_date(moment: &str) -> Option<axum::http::HeaderValue> {
    let moment: jiff::Timestamp = moment.parse().ok()?;
    let text = moment.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    text.parse().ok()
}

fn content(call: &Call, stored: &Json) -> Result<Response<Body>, Refusal> {
    precondition(call, Some(stored))?;
    let bytes = STANDARD.decode(stored["data"].as_str().unwrap_or_default()).unwrap_or_default();
    let range = call.headers.get("range").and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("bytes="));
    let total = bytes.len();
    let range = range.and_then(|range| {
        let (from, to) = range.split_once('-')?;
        let to: usize = if to.is_empty() { total.checked_sub(1)? } else { to.parse().ok()? };
        let from: usize = if from.is_empty() { return None } else { from.parse().ok()? };
        (from <= to && from < total).then(|| (from, to.min(total - 1)))
    });
    let (status, bytes) = match range {
        Some((from, to)) => (206, bytes[from..=to].to_vec()),
        None => (200, bytes),
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = axum::http::StatusCode::from_u16(status).unwrap_or_default();
    label(&mut response, stored);
    let headers = response.headers_mut();
    if let Some(modified) = stored["created"].as_str().and_then(http_date) {
        headers.insert("last-modified", modified);
    }
    if let Ok(kind) = stored["type"].as_str().unwrap_or_default().parse() {
        headers.insert("content-type", kind);
    }
    if let (Some((from, to)), 206) = (range, status)
        && let Ok(value) = format!("bytes {from}-{to}/{total}").parse()
    {
        headers.insert("content-range", value);
    }
    Ok(response)
}
