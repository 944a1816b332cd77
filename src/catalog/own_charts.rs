//! `[charts]`: Helm charts of the user's own.

use crate::catalog::charts::{self, Renderer};
use crate::catalog::expansion::{Expansion, mistake};
use crate::catalog::pieces::{self, Release};
use crate::catalog::sources;
use crate::chart::Wanted;
use crate::value::Value;

pub(super) fn expand(expansion: &mut Expansion<'_>, renderer: &mut Renderer<'_>) {
    sources::mistakes(expansion.stack).into_iter().for_each(|mistake| expansion.report(mistake));
    for (name, chart) in &expansion.stack.charts {
        let Ok(reference) = sources::reference(chart) else { continue };
        let component = format!("charts.{name}");
        let version = chart.version.as_ref().map(|version| version.to_string());
        let wanted = Wanted { id: component.clone(), reference, version, digest: None };
        let namespace = chart.namespace.as_ref().map_or("default", |namespace| &**namespace);
        let values = chart.values.as_ref().map_or_else(Value::map, |values| Value::Map(values.value.0.clone()));
        let release = charts::Release { wanted: &wanted, name, namespace, values: &values };
        match renderer.render(&release) {
            Ok(Some(contents)) => {
                let timeout = chart.timeout.as_ref().map(|timeout| timeout.value);
                let release = Release { component: &component, namespace, timeout };
                let installed = pieces::install(expansion, &release, contents.pieces);
                for address in &installed.all {
                    expansion.depending.push((address.clone(), &chart.depends_on));
                }
                expansion.offer(&component, "namespace", namespace);
            }
            Ok(None) => {
                let what = format!("{component} is not at hand");
                let hint = "run `stackwright lock`, which fetches and pins it";
                expansion.report(mistake(what, &chart.source.span, "from here").hint(hint));
            }
            Err(diagnostic) => expansion.report(diagnostic.at(chart.source.span.clone(), "named here")),
        }
    }
}
