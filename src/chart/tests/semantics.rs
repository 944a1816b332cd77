//! Helm's rules for values, dependencies, files and order; each expectation is what helm template makes of the
//! same chart.

use super::{load, render_text};
use crate::chart::*;
use crate::value::Value;

/// Renders a chart whose templates make config maps, and returns their data by source and name.
fn data(files: &[(&str, &str)], values: &str) -> Result<serde_json::Value, ChartError> {
    let rendered = render_text(files, values)?;
    let pairs = rendered.objects.iter().map(|object| {
        let data = object.manifest.get("data").unwrap_or(&Value::Null).to_json();
        (object.source.clone(), data)
    });
    Ok(serde_json::Value::Object(pairs.collect()))
}

fn map(data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\ndata:\n{data}")
}

const PARENT: &str = "apiVersion: v2\nname: parent\nversion: 1.0.0\n";
const CHILD: &str = "apiVersion: v2\nname: child\nversion: 1.2.3\n";

#[test]
fn values_reach_charts_inside() {
    let show = map("  v: {{ .Values | toJson | quote }}\n");
    let files = [
        ("Chart.yaml", PARENT),
        ("values.yaml", "own: 1\nchild:\n  a: parent\nglobal:\n  g: 1\n"),
        ("templates/p.yaml", &show),
        ("charts/child/Chart.yaml", CHILD),
        ("charts/child/values.yaml", "a: child\nb: child\nnothing: null\nglobal:\n  h: 2\n"),
        ("charts/child/templates/c.yaml", &show),
    ];
    let all = data(&files, "child: {b: null}\n").unwrap();
    let json = |source: &str| serde_json::from_str::<serde_json::Value>(all[source]["v"].as_str().unwrap()).unwrap();
    let child = serde_json::json!({"a": "parent", "global": {"g": 1, "h": 2}});
    assert_eq!(json("parent/charts/child/templates/c.yaml"), child);
    assert_eq!(json("parent/templates/p.yaml"), serde_json::json!({"child": child, "global": {"g": 1}, "own": 1}));
    let wrong = data(&files, "child: text\n").unwrap_err();
    assert!(wrong.message.contains("must be a map"), "{wrong}");
}

#[test]
fn nulls_take_defaults_away() {
    let show = map("  v: {{ .Values | toJson | quote }}\n");
    let files = [
        ("Chart.yaml", PARENT),
        ("values.yaml", "a: 1\nm: {x: 1, w: 2, z: null, deep: {u: 1, v: null}}\nnone: null\nl: [1, null]\n"),
        ("templates/p.yaml", &show),
    ];
    let all = data(&files, "a: null\nm: {x: null, new: null, deep: {u: null}}\nq: null\n").unwrap();
    let got = serde_json::from_str::<serde_json::Value>(all["parent/templates/p.yaml"]["v"].as_str().unwrap()).unwrap();
    assert_eq!(got, serde_json::json!({"m": {"w": 2, "new": null, "deep": {}}, "l": [1, null], "q": null}));
}

#[test]
fn conditions_and_tags_switch_dependencies() {
    let child = map("  a: {{ .Chart.Name }}\n");
    let chart = |dependencies: &str| format!("{PARENT}dependencies:\n{dependencies}");
    let on = |dependencies: &str, values: &str| {
        let chart = chart(dependencies);
        let files = [
            ("Chart.yaml", chart.as_str()),
            ("charts/child/Chart.yaml", CHILD),
            ("charts/child/values.yaml", "enabled: false\n"),
            ("charts/child/templates/c.yaml", &child),
        ];
        data(&files, values).map(|all| all.as_object().unwrap().keys().cloned().collect::<Vec<_>>())
    };
    let source = "parent/charts/child/templates/c.yaml";
    let one = "- {name: child, version: '>=1', condition: 'child.enabled,other.use', tags: [front, back]}\n";
    assert_eq!(on(one, "").unwrap(), Vec::<String>::new());
    assert_eq!(on(one, "child: {enabled: true}").unwrap(), [source]);
    assert_eq!(on(one, "child: {enabled: 'yes please'}\nother: {use: false}").unwrap(), Vec::<String>::new());
    assert_eq!(on(one, "child: {enabled: null}\ntags: {front: false}").unwrap(), Vec::<String>::new());
    assert_eq!(on(one, "child: {enabled: null}\ntags: {front: false, back: true}").unwrap(), [source]);
    // A version that does not fit leaves the chart in, as if it were not named.
    assert_eq!(on("- {name: child, version: '>=2', condition: child.enabled}\n", "").unwrap(), Vec::<String>::new());
    let missing = on("- {name: absent, version: '1'}\n", "").unwrap_err();
    assert!(missing.message.contains("needs absent") && missing.hint.is_some(), "{missing}");
}

#[test]
fn an_alias_is_another_name() {
    let child = map("  name: {{ .Chart.Name }}\n  a: {{ .Values.a }}\n  base: {{ .Template.BasePath }}\n");
    let chart = format!(
        "{PARENT}dependencies:\n- {{name: child, version: 1.x, alias: one}}\n- {{name: child, version: ^1.2, alias: two}}\n"
    );
    let files = [
        ("Chart.yaml", chart.as_str()),
        ("values.yaml", "two: {a: second}\n"),
        ("charts/child/Chart.yaml", CHILD),
        ("charts/child/values.yaml", "a: default\n"),
        ("charts/child/templates/c.yaml", &child),
    ];
    let all = data(&files, "").unwrap();
    let one = serde_json::json!({"name": "one", "a": "default", "base": "parent/charts/one/templates"});
    assert_eq!(all["parent/charts/one/templates/c.yaml"], one);
    assert_eq!(all["parent/charts/two/templates/c.yaml"]["a"], "second");
    assert_eq!(all.as_object().unwrap().len(), 2);
}

#[test]
fn values_are_imported_from_dependencies() {
    let chart = format!(
        "{PARENT}dependencies:\n- name: child\n  version: '*'\n  import-values:\n  - data\n  - {{child: inner.deep, parent: taken.here}}\n  - {{child: absent, parent: x}}\n"
    );
    let show = map("  v: {{ omit .Values \"child\" \"global\" | toJson | quote }}\n");
    let files = [
        ("Chart.yaml", chart.as_str()),
        ("values.yaml", "mine: parent\ntaken: {here: {b: parent}}\n"),
        ("templates/p.yaml", &show),
        ("charts/child/Chart.yaml", CHILD),
        ("charts/child/values.yaml", "exports: {data: {mine: child, more: child}}\ninner: {deep: {a: 1, b: child}}\n"),
    ];
    let all = data(&files, "more: user\n").unwrap();
    let got = serde_json::from_str::<serde_json::Value>(all["parent/templates/p.yaml"]["v"].as_str().unwrap()).unwrap();
    let wanted = serde_json::json!({"mine": "parent", "more": "user", "taken": {"here": {"a": 1, "b": "parent"}}});
    assert_eq!(got, wanted);
}

#[test]
fn templates_share_what_they_change() {
    let files = [
        ("Chart.yaml", PARENT),
        ("values.yaml", "a: 1\n"),
        // The last in reverse order of names runs first.
        ("templates/zz.yaml", "{{- $_ := set .Values \"a\" \"changed\" }}"),
        ("templates/a.yaml", &map("  a: {{ .Values.a }}\n  t: {{ .Template.Name }}\n")),
        ("templates/sub/b.yaml", &map("  a: {{ .Values.a }}\n")),
    ];
    let all = data(&files, "").unwrap();
    assert_eq!(all["parent/templates/a.yaml"], serde_json::json!({"a": "changed", "t": "parent/templates/a.yaml"}));
    // Deeper folders run before all others.
    assert_eq!(all["parent/templates/sub/b.yaml"]["a"], 1);
}

#[test]
fn helpers_cross_charts_and_libraries_lend_theirs() {
    let chart = format!("{PARENT}dependencies: [{{name: lib, version: '*'}}]\n");
    let files = [
        ("Chart.yaml", chart.as_str()),
        (
            "templates/p.yaml",
            &map(
                "  a: {{ include \"lib.a\" . }}\n  b: {{ tpl \"{{ include \\\"lib.a\\\" . }}\" . }}\n  c: {{ .Subcharts.lib.Chart.Version }}\n",
            ),
        ),
        ("charts/lib/Chart.yaml", "apiVersion: v2\nname: lib\nversion: 0.1.0\ntype: library\n"),
        ("charts/lib/templates/_h.tpl", "{{ define \"lib.a\" }}from {{ .Chart.Name }}{{ end }}"),
        ("charts/lib/templates/not.yaml", "{{ fail \"not run\" }}"),
    ];
    let all = data(&files, "").unwrap();
    let wanted = serde_json::json!({"a": "from parent", "b": "from parent", "c": "0.1.0"});
    assert_eq!(all["parent/templates/p.yaml"], wanted);
    let alone = [("Chart.yaml", "apiVersion: v2\nname: lib\nversion: 0.1.0\ntype: library\n")];
    assert!(render_text(&alone, "").unwrap_err().message.contains("library charts cannot be installed"));
}

#[test]
fn files_and_capabilities_are_seen() {
    let template = map(
        "  get: {{ .Files.Get \"conf/a.txt\" | quote }}\n  none: {{ .Files.Get \"values.yaml\" | quote }}\n  \
         lines: {{ .Files.Lines \"conf/a.txt\" | join \",\" }}\n  glob: {{ range $p, $_ := .Files.Glob \"conf/*.txt\" }}{{ $p }} {{ end }}\n  \
         config: {{ (.Files.Glob \"conf/**\").AsConfig | quote }}\n  secrets: {{ (.Files.Glob \"conf/b*\").AsSecrets | quote }}\n  \
         bytes: {{ .Files.GetBytes \"conf/b.txt\" | len }}\n  kube: {{ .Capabilities.KubeVersion.Version }} {{ .Capabilities.KubeVersion.Minor | quote | trimAll \"\\\"\" }}\n  \
         apps: {{ .Capabilities.APIVersions.Has \"apps/v1\" }}\n  other: {{ .Capabilities.APIVersions.Has \"example.org/v1\" }}\n  \
         helm: {{ .Capabilities.HelmVersion.Version }}\n  release: {{ .Release.Service }} {{ .Release.IsInstall }} {{ .Release.Revision }}\n",
    );
    let files = [
        ("Chart.yaml", PARENT),
        ("values.yaml", "a: 1"),
        ("templates/p.yaml", template.as_str()),
        ("conf/a.txt", "one\ntwo\n"),
        ("conf/b.txt", "three"),
    ];
    let got = data(&files, "").unwrap();
    let wanted = serde_json::json!({
        "get": "one\ntwo\n", "none": "", "lines": "one,two", "glob": "conf/a.txt conf/b.txt",
        "config": "a.txt: |\n  one\n  two\nb.txt: three", "secrets": "b.txt: dGhyZWU=", "bytes": 5,
        "kube": "v1.37.0 37", "apps": true, "other": false, "helm": "v4.3.1", "release": "Helm true 1",
    });
    assert_eq!(got["parent/templates/p.yaml"], wanted);
}

#[test]
fn older_charts_name_dependencies_elsewhere() {
    let child = map("  a: b\n");
    let files = [
        ("Chart.yaml", "name: parent\nversion: 1.0.0\n"),
        ("requirements.yaml", "dependencies:\n- name: child\n  version: 1.2.3\n  condition: child.enabled\n"),
        ("charts/child/Chart.yaml", CHILD),
        ("charts/child/templates/c.yaml", &child),
    ];
    assert_eq!(render_text(&files, "").unwrap().objects.len(), 1);
    assert_eq!(render_text(&files, "child: {enabled: false}").unwrap().objects.len(), 0);
}

#[test]
fn a_schema_refuses_values() {
    let files = [
        ("Chart.yaml", PARENT),
        ("values.yaml", "replicas: 1\n"),
        (
            "values.schema.json",
            "{\"type\": \"object\", \"properties\": {\"replicas\": {\"type\": \"integer\", \"maximum\": 3}}, \"additionalProperties\": false, \"required\": [\"replicas\"]}",
        ),
        ("charts/child/Chart.yaml", CHILD),
        ("charts/child/values.schema.json", "{\"properties\": {\"port\": {\"type\": \"string\"}}}"),
    ];
    let alone = &files[..3];
    assert!(render_text(alone, "replicas: 2").is_ok());
    for (values, path) in [
        ("replicas: 5", "replicas"),
        ("replicas: x", "replicas"),
        ("other: 1", "other"),
        ("replicas: null", "replicas"),
    ] {
        let error = render_text(alone, values).unwrap_err();
        assert_eq!(error.cause, Cause::Schema, "{values}");
        assert!(error.detail.contains(path), "{values}: {error:?}");
    }
    let inner = [files[0], files[3], files[4]];
    assert_eq!(render_text(&inner, "child: {port: 80}").unwrap_err().chart, "child");
    let far = [files[0], ("values.schema.json", "{\"$ref\": \"https://example.org/s.json\"}")];
    assert!(render_text(&far, "").unwrap_err().message.contains("cannot be used"));
}

#[test]
fn definitions_come_apart_and_first() {
    let crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a.b.c}\n";
    let files = [
        ("Chart.yaml", PARENT),
        ("crds/a.yaml", crd),
        ("crds/README.md", "not one"),
        ("charts/child/Chart.yaml", CHILD),
        ("charts/child/crds/b.yml", &format!("# note\n---\n{crd}---\n{crd}")),
    ];
    let rendered = render_text(&files, "").unwrap();
    let sources = rendered.crds.iter().map(|object| object.source.as_str()).collect::<Vec<_>>();
    assert_eq!(sources, ["parent/crds/a.yaml", "parent/charts/child/crds/b.yml", "parent/charts/child/crds/b.yml"]);
    assert!(rendered.objects.is_empty());
}

#[test]
fn errors_name_the_place() {
    let files = [("Chart.yaml", PARENT), ("templates/p.yaml", "a: 1\nb: {{ .Values.a.b.c }}\n")];
    let error = render_text(&files, "").unwrap_err();
    assert_eq!((error.file.as_deref(), error.line), (Some("parent/templates/p.yaml"), Some(2)));
    assert!(error.action.is_some() && error.hint.is_some(), "{error:?}");
    assert!(
        error.to_string().starts_with("chart parent: parent/templates/p.yaml:2: at {{ .Values.a.b.c }}: nil pointer"),
        "{error}"
    );
    let unknown = [("Chart.yaml", PARENT), ("templates/p.yaml", "{{ if false }}\n{{ nosuch }}{{ end }}")];
    let error = render_text(&unknown, "").unwrap_err();
    assert_eq!((error.cause, error.line), (Cause::Parse, Some(2)));
    let output = [("Chart.yaml", PARENT), ("templates/p.yaml", "kind: A\n---\nkind: B\n  x: [\n")];
    let error = render_text(&output, "").unwrap_err();
    assert_eq!((error.cause, error.file.as_deref()), (Cause::Output, Some("parent/templates/p.yaml")));
    let kube = format!("{PARENT}kubeVersion: '>=1.99'\n");
    let error = render_text(&[("Chart.yaml", &kube)], "").unwrap_err();
    assert!(error.message.contains("needs Kubernetes >=1.99"), "{error}");
    let failed = [("Chart.yaml", PARENT), ("templates/p.yaml", "{{ fail \"set a name\" }}")];
    let error = render_text(&failed, "").unwrap_err();
    assert!(error.message == "set a name" && error.hint.unwrap().contains("refuses"), "{}", error.message);
}

#[test]
fn what_is_known_later_goes_through() {
    use crate::value::{Template, Value};
    let chart =
        load(&[("Chart.yaml", PARENT), ("templates/p.yaml", &map("  url: https://{{ .Values.host }}/x\n"))]).unwrap();
    let host = Value::from(Template::reference("cluster".into(), vec!["endpoint".into()]));
    let values = Value::Map([("host".to_owned(), host)].into_iter().collect());
    let release = Release::new("rel", "ns");
    let capabilities = Capabilities::default();
    let rendered = render(&chart, &values, &Settings::new(&release, &capabilities)).unwrap();
    let url = rendered.objects[0].manifest.at(&["data", "url"]).unwrap();
    assert!(matches!(url, Value::Deferred(_)), "{url:?}");
    let chart = load(&[("Chart.yaml", PARENT), ("templates/p.yaml", "{{ if .Values.host }}{{ end }}")]).unwrap();
    let error = render(&chart, &values, &Settings::new(&release, &capabilities)).unwrap_err();
    assert_eq!(error.cause, Cause::Unknown);
    assert!(error.message.contains("cluster.endpoint"), "{error}");
}

#[test]
fn questions_to_the_cluster_are_remembered() {
    let files = [("Chart.yaml", PARENT), ("templates/p.yaml", "{{ $_ := lookup \"v1\" \"Secret\" \"ns\" \"s\" }}")];
    let asked = render_text(&files, "").unwrap().looked_up;
    let question = asked.first().unwrap();
    assert_eq!((question.kind.as_str(), question.name.as_str()), ("Secret", "s"));
}

#[test]
fn it_prints_as_helm_does() {
    let hook = "kind: Job\nmetadata:\n  annotations:\n    helm.sh/hook: test\n";
    let chart = load(&[
        ("Chart.yaml", PARENT),
        ("crds/c.yaml", "kind: C\n"),
        ("templates/b.yaml", "# comment\n"),
        ("templates/a.yaml", "\nkind: Zoo\n---\nkind: Secret\n\n"),
        ("templates/t.yaml", hook),
    ])
    .unwrap();
    let release = Release::new("rel", "ns");
    let capabilities = Capabilities::default();
    let documents = heads(&chart, &Values::new(), &Settings::new(&release, &capabilities)).unwrap();
    let all = documents.print(true, true, true, &[]).unwrap().concat();
    assert_eq!(
        all,
        "---\n# Source: parent/crds/c.yaml\nkind: C\n\n---\n# Source: parent/templates/a.yaml\nkind: Secret\n\n\n---\n\
         # Source: parent/templates/b.yaml\n# comment\n\n---\n# Source: parent/templates/a.yaml\nkind: Zoo\n---\n\
         # Source: parent/templates/t.yaml\nkind: Job\nmetadata:\n  annotations:\n    helm.sh/hook: test\n\n"
    );
    assert!(!documents.print(false, true, false, &[]).unwrap().concat().contains("kind: Job"));
    let only = documents.print(false, true, true, &["templates/t*.yaml".into()]).unwrap().concat();
    assert!(only.starts_with("---\n# Source: parent/templates/t.yaml\nkind: Job"));
    assert!(documents.print(false, true, true, &["templates/none.yaml".into()]).is_err());
}
