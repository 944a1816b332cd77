//! `export`: files that kubectl reads, that hold the objects of the stack and no secret.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;
use stackwright::ops::export::{Export, manifests};
use stackwright::value::Value;

use crate::lab::{STACKS, shipped};

/// The objects of all files, by kind, namespace and name.
fn parsed(export: &Export) -> BTreeMap<String, Json> {
    let mut objects = BTreeMap::new();
    for file in &export.files {
        let options = serde_saphyr::options! { budget: None };
        let documents: Vec<Json> = serde_saphyr::from_multiple_with_options(&file.text, options).expect("YAML");
        for document in documents {
            assert!(objects.insert(key(&document), document).is_none(), "twice in {}", file.name);
        }
    }
    objects
}

fn key(object: &Json) -> String {
    let group = object["apiVersion"].as_str().unwrap_or_default().rsplit_once('/').map_or("", |(group, _)| group);
    format!("{group} {} {} {}", object["kind"], object["metadata"]["namespace"], object["metadata"]["name"])
}

/// The two trees are equal but for placeholders, which stand where a value is deferred or a Secret's.
fn same(wanted: &Value, got: &Json, path: &str) {
    let placeholder = got.as_str().is_some_and(|text| text.contains("<secret") || text.contains("<unknown: "));
    match (wanted, got) {
        (Value::Deferred(_), got) => assert!(placeholder, "{path}: {got}"),
        (Value::Map(map), Json::Object(object)) => {
            let keys = |keys: Vec<&String>| keys.into_iter().cloned().collect::<std::collections::BTreeSet<_>>();
            assert_eq!(keys(map.keys().collect()), keys(object.keys().collect()), "{path}");
            map.iter().for_each(|(key, value)| same(value, &object[key], &format!("{path}.{key}")));
        }
        (Value::List(items), Json::Array(got)) => {
            assert_eq!(items.len(), got.len(), "{path}");
            items.iter().zip(got).enumerate().for_each(|(at, (item, got))| same(item, got, &format!("{path}[{at}]")));
        }
        (Value::String(_), Json::String(_)) if placeholder => assert!(path.contains("data."), "{path}"),
        (plain, got) => assert_eq!(&plain.to_json(), got, "{path}"),
    }
}

#[test]
fn every_object_comes_back_as_it_is() {
    for name in STACKS {
        let (desired, secrets) = shipped(name);
        let export = manifests(&desired).expect("in order");
        let mut objects = parsed(&export);
        for resource in desired.resources.iter().filter(|resource| resource.kind == "k8s.object") {
            let got = objects.remove(&key(&resource.attrs.to_json())).unwrap_or_else(|| panic!("{}", resource.address));
            same(&resource.attrs, &got, resource.address.as_str());
        }
        assert_eq!(objects, BTreeMap::new(), "{name}");
        let all = export.files.iter().map(|file| file.text.as_str()).collect::<String>();
        assert!(secrets.values().all(|secret| !all.contains(secret.as_str())), "{name}");
        let mut names = export.files.iter().map(|file| file.name.clone()).collect::<Vec<_>>();
        names.sort();
        assert_eq!(names, export.files.iter().map(|file| file.name.clone()).collect::<Vec<_>>(), "{name}");
        assert!(!export.elsewhere.is_empty() && !export.placeholders.is_empty(), "{name}");
    }
}

#[test]
fn kubectl_reads_the_same_objects() {
    if !Path::new("/usr/bin/kubectl").exists() && !Path::new("/usr/local/bin/kubectl").exists() {
        eprintln!("skipped: no kubectl");
        return;
    }
    let (desired, _) = shipped("gpu-t4");
    let export = manifests(&desired).expect("in order");
    let folder = tempfile::tempdir().expect("tempdir");
    for file in &export.files {
        std::fs::write(folder.path().join(&file.name), &file.text).expect("writable");
    }
    // The one command that reads whole objects of any kind without asking a server.
    let output = Command::new("kubectl")
        .args(["label", "--local", "read=back", "--output=json", "--filename"])
        .arg(folder.path())
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", folder.path())
        .output()
        .expect("kubectl starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut wanted = parsed(&export);
    for object in serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Json>() {
        let mut object = object.expect("JSON");
        let labels = object["metadata"]["labels"].as_object_mut().expect("a label");
        labels.shift_remove("read");
        let none = labels.is_empty();
        let mut own = wanted.remove(&key(&object)).unwrap_or_else(|| panic!("{}", key(&object)));
        if none {
            object["metadata"].as_object_mut().expect("a map").shift_remove("labels");
            own["metadata"].as_object_mut().expect("a map").shift_remove("labels");
        }
        assert_eq!(object, own);
    }
    assert_eq!(wanted, BTreeMap::new());
}
