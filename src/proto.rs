//! The generated code of `proto/`: message types, gRPC servers and clients, one module per proto package, and the
//! descriptor set of all of it. `build.rs` makes it; nothing here is written by hand but [`Raw`].

mod raw;

pub use self::raw::Raw;

/// A serialised `google.protobuf.FileDescriptorSet` of all files in `proto/` and what they import, in the order of
/// their dependencies, with comments (source info) and with the `google.api.http` options.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! generated {
    ($($(#[$doc:meta])* $module:ident = $package:literal;)*) => {$(
        $(#[$doc])*
        #[allow(
            clippy::all,
            clippy::pedantic,
            clippy::restriction,
            clippy::nursery,
            reason = "generated code has a style of its own"
        )]
        pub mod $module {
            include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
        }
    )*};
}

generated! {
    /// The automation services.
    automation_v1 = "propylon.automation.v1";
    /// The gateway's own services.
    gateway_v1 = "propylon.gateway.v1";
    /// gRPC's health checking protocol.
    grpc_health_v1 = "grpc.health.v1";
    /// gRPC's server reflection.
    grpc_reflection_v1 = "grpc.reflection.v1";
    /// gRPC's server reflection under its older name.
    grpc_reflection_v1alpha = "grpc.reflection.v1alpha";
}
