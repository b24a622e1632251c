//! Links the final library against libtorch and tells the loader where to look for it.
fn main() {
    napi_build::setup();
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    compile_csrc();
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if os == "windows" {
        return; // The addon finds DLLs beside itself.
    }
    let origin = if os == "macos" { "@loader_path" } else { "$ORIGIN" };
    // npm's flat tree and pnpm's store both put a dependency beside its dependent.
    let mut rpaths = vec![
        format!("{origin}/../libtorch-{}/torch/lib", platform()),
        format!("{origin}/node_modules/@nnclr/libtorch-{}/torch/lib", platform()),
    ];
    if let Some(lib) = std::env::var_os("LIBTORCH") {
        let lib = std::path::Path::new(&lib).join("lib");
        if let Ok(lib) = lib.canonicalize() {
            rpaths.push(lib.display().to_string());
        }
    }
    // DT_RPATH would be inherited by libtorch's own look-ups; RUNPATH (the default) is not.
    for rpath in rpaths {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{rpath}");
    }
    if os == "linux" {
        println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
    }
    println!("cargo:rustc-link-lib=torch_cpu");
    println!("cargo:rustc-link-lib=c10");
}

/// What libtorch offers in C++ alone.
fn compile_csrc() {
    println!("cargo:rerun-if-changed=csrc");
    let Some(libtorch) = std::env::var_os("LIBTORCH") else {
        return; // Set-up sets it; without it the link says what is missing.
    };
    let include = std::path::Path::new(&libtorch).join("include");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .flag_if_supported("/EHsc")
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .include("csrc/gloo_headers")
        .define("USE_C10D_GLOO", None)
        .files(
            ["caching_allocator", "fused_conv", "gradient", "node", "send"]
                .map(|name| format!("csrc/{name}.cpp")),
        )
        .files(
            ["group", "nccl", "gather", "sync_batch_norm", "reducer"]
                .map(|name| format!("csrc/distributed/{name}.cpp")),
        )
        .compile("nnclr_csrc");
}

fn platform() -> String {
    let arch = match std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("aarch64") => "arm64",
        _ => "x64",
    };
    let os = match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("macos") => "darwin",
        Ok("windows") => "win32",
        _ => "linux",
    };
    if os == "linux" { format!("{os}-{arch}-gnu") } else { format!("{os}-{arch}") }
}
