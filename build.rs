//! Compiles `proto/` with protox (no protoc needed): message types and gRPC stubs by tonic-prost-build, and the
//! descriptor set as protox itself encodes it, because prost's descriptor types drop the `google.api.http` options.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

/// The root of imports, and of every file that is compiled.
const ROOT: &str = "proto";
/// The package whose messages hold what they were sent.
const AUTOMATION: &str = "propylon.automation.v1";

#[expect(clippy::disallowed_methods, reason = "cargo hands a build script its folder by the environment")]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);

    let mut files = Vec::new();
    find(Path::new(ROOT), &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new([ROOT])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    let only = |wanted: &dyn Fn(&str) -> bool| {
        let mut files = compiler.file_descriptor_set();
        files.file.retain(|file| wanted(file.package()));
        files
    };
    let configured = || tonic_prost_build::configure().btree_map(".").build_transport(false);
    configured().compile_fds(only(&|package| package != AUTOMATION))?;
    // What clients keep as JSON is not taken apart: it would be by recursion, and fail as no mistake of the client's.
    configured()
        .extern_path(".google.protobuf.Struct", "crate::proto::Raw")
        .compile_fds(only(&|package| package == AUTOMATION || package == "google.protobuf"))?;
    Ok(())
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
