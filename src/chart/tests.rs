//! Charts as a whole, from files to objects.

use std::sync::Arc;

use super::*;
use crate::value::Value;

fn load(files: &[(&str, &str)]) -> Result<Arc<Chart>, ChartError> {
    Chart::load(Files::try_from(files)?)
}

fn render_text(files: &[(&str, &str)], values: &str) -> Result<Rendered, ChartError> {
    let chart = load(files)?;
    let values = crate::template::yaml::read(values).unwrap();
    let release = Release::new("rel", "ns");
    render(&chart, &values, &Settings::new(&release, &Capabilities::default()))
}

const WEB: &str = "apiVersion: v2\nname: web\nversion: 1.0.0\nappVersion: 2.0.0\n";

#[test]
fn a_simple_chart_renders() {
    let rendered = render_text(
        &[
            ("Chart.yaml", WEB),
            ("values.yaml", "replicas: 1000000\nname: a\n"),
            ("templates/_h.tpl", "{{ define \"n\" }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}"),
            (
                "templates/a.yaml",
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ include \"n\" . }}\ndata:\n  r: {{ .Values.replicas | quote }}\n  name: {{ .Values.name }}\n  f: {{ .Files.Get \"x.txt\" }}\n",
            ),
            ("templates/NOTES.txt", "hello {{ .Release.Namespace }}"),
            ("x.txt", "file"),
        ],
        "name: b",
    )
    .unwrap();
    assert_eq!(rendered.notes.as_deref(), Some("hello ns"));
    let object = &rendered.objects[0];
    assert_eq!(object.source, "web/templates/a.yaml");
    assert_eq!(object.manifest.at(&["metadata", "name"]).and_then(Value::as_str), Some("rel-web"));
    assert_eq!(
        object.manifest.get("data").unwrap().to_json(),
        serde_json::json!({"r": "1e+06", "name": "b", "f": "file"})
    );
}

mod hostile;
mod semantics;
