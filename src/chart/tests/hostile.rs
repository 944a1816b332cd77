//! Archives, values and templates that somebody made to do harm: bounded in time and memory, with a clear error.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{WEB, load, render_text};
use crate::chart::*;

fn packed(fill: impl FnOnce(&mut tar::Builder<GzEncoder<Vec<u8>>>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    fill(&mut builder);
    builder.into_inner().unwrap().finish().unwrap()
}

/// Adds an entry whose name is written as it is, which the crate itself refuses to do.
fn add(builder: &mut tar::Builder<GzEncoder<Vec<u8>>>, name: &str, kind: tar::EntryType, link: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    builder.append(&header, bytes).unwrap();
}

fn file(builder: &mut tar::Builder<GzEncoder<Vec<u8>>>, name: &str, bytes: &[u8]) {
    add(builder, name, tar::EntryType::Regular, "", bytes);
}

fn refusal(bytes: &[u8]) -> String {
    archive::read(bytes, &Limits::default()).unwrap_err().to_string()
}

#[test]
fn a_good_archive_is_read() {
    let long = format!("web/{}/x.txt", "d".repeat(150));
    let bytes = packed(|builder| {
        add(builder, "web/", tar::EntryType::Directory, "", b"");
        file(builder, "web/Chart.yaml", WEB.as_bytes());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_cksum();
        builder.append_data(&mut header, &long, &b"x"[..]).unwrap();
    });
    let files = archive::read(&bytes, &Limits::default()).unwrap();
    assert_eq!(files.text(&long[4..]).as_deref(), Some("x"));
    assert_eq!(Chart::load(files).unwrap().name(), "web");
    let below = archive::read_below(&bytes, &long[4..154], &Limits::default()).unwrap();
    assert_eq!(below.text("x.txt").as_deref(), Some("x"));
    assert!(archive::read_below(&bytes, "absent", &Limits::default()).is_err());
}

#[test]
fn damaged_archives_are_refused() {
    let noise = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>();
    let bytes = packed(|builder| {
        file(builder, "web/Chart.yaml", WEB.as_bytes());
        file(builder, "web/x", &noise);
    });
    for length in [11, 100, bytes.len() / 2, bytes.len() - 1] {
        let error = refusal(&bytes[..length]);
        assert!(error.contains("cut off") || error.contains("damaged"), "{length}: {error}");
    }
    let mut bent = bytes.clone();
    bent[bytes.len() / 2] ^= 0x55;
    assert!(refusal(&bent).contains("archive is"));
    assert!(refusal(b"apiVersion: v2").contains("not a gzip"));
    assert!(refusal(b"").contains("not a gzip"));
    assert!(refusal(&packed(|_| {})).contains("no files"));
}

#[test]
fn paths_and_links_that_lead_out_are_refused() {
    for name in
        ["web//etc/passwd", "web/../../etc/passwd", "web/a/../../../x", "Chart.yaml", "web/c:/x", "web\\..\\..\\x"]
    {
        let bytes = packed(|builder| file(builder, name, b"x"));
        let error = refusal(&bytes);
        assert!(
            ["absolute", "leads out", "beside", "drive letter"].iter().any(|why| error.contains(why)),
            "{name}: {error}"
        );
    }
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link] {
        let bytes = packed(|builder| add(builder, "web/values.yaml", kind, "/etc/passwd", b""));
        assert!(refusal(&bytes).contains("a link"));
    }
    for kind in [tar::EntryType::Fifo, tar::EntryType::Char, tar::EntryType::Block] {
        let bytes = packed(|builder| add(builder, "web/x", kind, "", b""));
        assert!(refusal(&bytes).contains("neither a file nor a folder"));
    }
}

#[test]
fn what_expands_is_stopped() {
    // A gigabyte of zeros, in files of a size that passes.
    let zeros = vec![0; 4 << 20];
    let bytes = packed(|builder| (0..256).for_each(|n| file(builder, &format!("web/{n}"), &zeros)));
    assert!(bytes.len() < 8 << 20);
    assert!(refusal(&bytes).contains("expands to more than"));
    let bytes = packed(|builder| file(builder, "web/x", &vec![0; 6 << 20]));
    assert!(refusal(&bytes).contains("larger than"));
    // The same behind the end of the archive, and as one name.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(1 << 30);
    header.set_cksum();
    encoder.write_all(header.as_bytes()).unwrap();
    (0..256).for_each(|_| encoder.write_all(&zeros).unwrap());
    assert!(refusal(&encoder.finish().unwrap()).contains("archive"));
    let many = packed(|builder| (0..30_000).for_each(|n| file(builder, &format!("web/{n}"), b"")));
    assert!(refusal(&many).contains("more than 20000 files"));
    // A header that promises more than there is.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut header = tar::Header::new_ustar();
    header.set_path("web/x").unwrap();
    header.set_size(4 << 20);
    header.set_cksum();
    encoder.write_all(header.as_bytes()).unwrap();
    assert!(refusal(&encoder.finish().unwrap()).contains("cut off"));
}

#[test]
fn archives_inside_of_archives_share_one_limit() {
    let zeros = vec![0; 4 << 20];
    let inner = packed(|builder| {
        file(builder, "child/Chart.yaml", b"apiVersion: v2\nname: child\nversion: 1.0.0\n");
        (0..10).for_each(|n| file(builder, &format!("child/{n}"), &zeros));
    });
    let mut files = Files::new();
    files.insert("Chart.yaml", WEB.as_bytes()).unwrap();
    (0..10).for_each(|n| files.insert(&format!("charts/c{n}.tgz"), inner.as_slice()).unwrap());
    let error = Chart::load(files).unwrap_err();
    assert!(error.message.contains("expands to more than") && error.file.unwrap().starts_with("charts/c"), "");
    // Charts inside of each other without end.
    let mut bytes = packed(|builder| file(builder, "web/Chart.yaml", WEB.as_bytes()));
    for _ in 0..30 {
        bytes = packed(|builder| {
            file(builder, "web/Chart.yaml", WEB.as_bytes());
            file(builder, "web/charts/web.tgz", &bytes);
        });
    }
    let error = Chart::load(archive::read(&bytes, &Limits::default()).unwrap()).unwrap_err();
    assert_eq!(error.cause, Cause::Limit);
}

/// Nine levels of nine aliases each.
fn bomb() -> String {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..10 {
        let last = format!("*a{},", level - 1).repeat(9);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", last.trim_end_matches(',')));
    }
    text
}

#[test]
fn alias_bombs_are_refused() {
    let bomb = bomb();
    let error = load(&[("Chart.yaml", WEB), ("values.yaml", &bomb)]).unwrap_err();
    assert!(
        error.message.contains("excessive aliasing") && error.file.as_deref() == Some("web/values.yaml"),
        "{error}"
    );
    let error = load(&[("Chart.yaml", &format!("{WEB}{bomb}"))]).unwrap_err();
    assert!(error.message.contains("excessive aliasing"), "{error}");
    assert!(Values::new().add_file(&bomb).is_err());
    let error = render_text(&[("Chart.yaml", WEB), ("templates/a.yaml", &bomb)], "").unwrap_err();
    assert_eq!(error.cause, Cause::Output);
    for deep in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(100_000)] {
        assert!(load(&[("Chart.yaml", WEB), ("values.yaml", &deep)]).is_err());
        assert!(load(&[("Chart.yaml", &deep)]).is_err());
    }
}

#[test]
fn templates_without_end_are_stopped() {
    for template in [
        "{{ range until 100000 }}{{ range until 100000 }}x{{ end }}{{ end }}",
        "{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}",
        "{{ define \"a\" }}{{ include \"b\" . }}{{ end }}{{ define \"b\" }}{{ include \"a\" . }}{{ end }}{{ include \"a\" . }}",
        "{{ define \"a\" }}{{ tpl \"{{ include \\\"a\\\" . }}\" . }}{{ end }}{{ include \"a\" . }}",
        "{{ $x := \"0123456789\" }}{{ range until 40 }}{{ $x = print $x $x }}{{ end }}",
        "{{ $m := dict }}{{ $_ := set $m \"m\" $m }}{{ toYaml $m }}",
    ] {
        let files = [("Chart.yaml", WEB), ("templates/a.yaml", template)];
        let result = render_text(&files, "");
        // What cannot be written as YAML is an empty text.
        assert!(result.is_err() || template.contains("toYaml"), "{template}");
        if let Err(error) = result {
            assert!(error.hint.is_some() && error.file.as_deref() == Some("web/templates/a.yaml"), "{error:?}");
        }
    }
}

#[test]
fn dependencies_in_a_circle_end() {
    // A chart that names itself, and two that name each other, are packed as often as somebody packed them.
    let itself = format!("{WEB}dependencies: [{{name: web, version: '*'}}]\n");
    let files = [("Chart.yaml", itself.as_str()), ("charts/web/Chart.yaml", itself.as_str())];
    let rendered = render_text(&files, "").unwrap();
    assert!(rendered.objects.is_empty());
    assert!(render_text(&files[..1], "").unwrap_err().message.contains("needs web"));
    let deep = format!("{}Chart.yaml", "charts/web/".repeat(40));
    let mut files = (0..=40).map(|n| (format!("{}Chart.yaml", "charts/web/".repeat(n)), WEB)).collect::<Vec<_>>();
    files.push((deep, WEB));
    let error = Chart::load(Files::try_from(&files[..]).unwrap()).unwrap_err();
    assert_eq!(error.cause, Cause::Limit);
}

#[cfg(unix)]
#[test]
fn folders_without_end_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Chart.yaml"), WEB).unwrap();
    let disk = crate::env::disk::RealDisk;
    assert_eq!(directory::read(&disk, folder.path(), &Limits::default()).unwrap().len(), 1);
    std::fs::write(folder.path().join("big"), vec![0; 6 << 20]).unwrap();
    assert!(directory::read(&disk, folder.path(), &Limits::default()).unwrap_err().message.contains("big: larger"));
    std::fs::write(folder.path().join(".helmignore"), "big\n").unwrap();
    assert_eq!(directory::read(&disk, folder.path(), &Limits::default()).unwrap().len(), 2);
    std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
    let error = directory::read(&disk, folder.path(), &Limits::default()).unwrap_err();
    assert!(error.message.contains("without end"), "{error}");
}
