//! `garant image import`: what comes out of an OCI layout is what its manifest names, or nothing.

use garant_attest::engine::sha256;
use garant_channel::engine::FastEngine;
use garant_tests::garant::garant;
use serde_json::{Value, json};
use std::{fs, path::Path, process::Output};

fn image(store: &Path, arguments: &[&str]) -> Output {
    garant(&[&["image", "--store", store.to_str().unwrap()], arguments].concat())
}

/// What a command says that does not do it.
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An OCI layout with one manifest of these layers: media type, title, bytes.
fn layout(folder: &Path, layers: &[(&str, &str, &[u8])]) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digits = digits_of(bytes);
        fs::write(blobs.join(&digits), bytes).unwrap();
        json!({ "digest": format!("sha256:{digits}"), "size": bytes.len() })
    };
    let layers = layers.iter().map(|(media_type, title, bytes)| {
        let mut layer = put(bytes);
        layer["mediaType"] = json!(media_type);
        layer["annotations"] = json!({ "org.opencontainers.image.title": title });
        layer
    });
    let manifest = json!({ "schemaVersion": 2, "layers": layers.collect::<Vec<_>>() });
    let mut manifest = put(manifest.to_string().as_bytes());
    manifest["mediaType"] = json!("application/vnd.oci.image.manifest.v1+json");
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "12" });
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn an_oci_layout_gives_images_of_its_own_digests_and_only_what_they_name() {
    let folder = tempfile::tempdir().unwrap();
    let (oci, store) = (folder.path().join("oci"), folder.path().join("store"));
    let import = |more: &[&str]| image(&store, &[&["import", oci.to_str().unwrap(), "--json"], more].concat());
    let raw = "application/octet-stream";
    layout(&oci, &[(raw, "vmlinuz", b"kernel"), ("application/x-raw-disk", "root", b"disk")]);
    let shown: Value = serde_json::from_slice(&import(&[]).stdout).unwrap();
    assert_eq!(shown["images"][1]["title"], json!("root"));
    let digest = shown["images"][0]["digest"].as_str().unwrap();
    assert_eq!(fs::read(store.join(digest.replace(':', "/"))).unwrap(), b"kernel");
    assert_eq!(import(&["--name", "12"]).status.code(), Some(0));
    assert!(refused(&import(&["--name", "13"])).contains("there are: 12"));

    let kept = || fs::read_dir(store.join("sha256")).unwrap().count();
    assert_eq!(kept(), 2);
    layout(&oci, &[(raw, "vmlinuz", b"other")]);
    let blob = oci.join("blobs/sha256").join(digits_of(b"other"));
    fs::write(&blob, b"forged").unwrap();
    assert!(refused(&import(&[])).contains("its files are not those that it names"));
    layout(&oci, &[(raw, "a", b"third"), ("application/vnd.oci.image.layer.v1.tar+gzip", "b", b"fourth")]);
    assert!(refused(&import(&[])).contains("no VM boots or reads that"));
    let manifest = oci.join("index.json");
    fs::write(&manifest, fs::read_to_string(&manifest).unwrap().replace("sha256:", "sha512:")).unwrap();
    assert!(refused(&import(&[])).contains("is not what an OCI layout has there"));
    fs::write(oci.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert!(refused(&import(&[])).contains("version"));
    assert_eq!(kept(), 2, "nothing of a layout that is refused is kept");
}

fn digits_of(bytes: &[u8]) -> String {
    sha256(&FastEngine, &[bytes]).iter().map(|byte| format!("{byte:02x}")).collect()
}
