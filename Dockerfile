# The binary alone, on a small Debian: docker build -t warmstart .
#
#   docker run --rm -v "$PWD:/work" warmstart predict model.safetensors photos/
#   docker run --rm -v "$PWD:/work" -p 127.0.0.1:8080:8080 warmstart serve model.safetensors --host 0.0.0.0
FROM rust:1.95.0-slim-trixie AS build
# The image's toolchain is that of rust-toolchain.toml, whose further components a build does not need.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /source
COPY . .
RUN cargo install --locked --path crates/cli --root /out

FROM debian:trixie-slim
COPY --from=build /out/bin/warmstart /usr/local/bin/warmstart
COPY LICENSE-APACHE LICENSE-MIT LICENSE-UNIFONT /usr/share/doc/warmstart/
RUN useradd --create-home warmstart
USER warmstart
WORKDIR /work
EXPOSE 8080
ENTRYPOINT ["warmstart"]
