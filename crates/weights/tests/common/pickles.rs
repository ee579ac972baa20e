//! Files of PyTorch's form, written opcode by opcode.

use std::io::Write;

/// Writes a pickle of protocol 2, and the numbers that its tensors are views of.
pub struct Pickler {
    bytes: Vec<u8>,
    storages: Vec<Vec<u8>>,
    is_big_endian: bool,
}

impl Pickler {
    pub fn new() -> Self {
        Self {
            bytes: b"\x80\x02".to_vec(),
            storages: Vec::new(),
            is_big_endian: false,
        }
    }

    pub fn big_endian() -> Self {
        Self {
            is_big_endian: true,
            ..Self::new()
        }
    }

    pub fn raw(&mut self, opcodes: &[u8]) -> &mut Self {
        self.bytes.extend(opcodes);
        self
    }

    pub fn text(&mut self, text: &str) -> &mut Self {
        self.raw(b"X").raw(&(text.len() as u32).to_le_bytes());
        self.raw(text.as_bytes())
    }

    pub fn int(&mut self, number: usize) -> &mut Self {
        self.raw(b"J").raw(&(number as u32).to_le_bytes())
    }

    pub fn global(&mut self, module: &str, name: &str) -> &mut Self {
        self.raw(format!("c{module}\n{name}\n").as_bytes())
    }

    fn ints(&mut self, numbers: &[usize]) -> &mut Self {
        self.raw(b"(");
        for number in numbers {
            self.int(*number);
        }
        self.raw(b"t")
    }

    /// A persistent id for a storage of its own.
    pub fn storage(&mut self, values: &[f32]) -> &mut Self {
        let key = self.storages.len().to_string();
        let is_big_endian = self.is_big_endian;
        let bytes = |value: &f32| {
            if is_big_endian {
                value.to_be_bytes()
            } else {
                value.to_le_bytes()
            }
        };
        self.storages.push(values.iter().flat_map(bytes).collect());
        self.raw(b"(")
            .text("storage")
            .global("torch", "FloatStorage");
        self.text(&key).text("cpu").int(values.len()).raw(b"tQ")
    }

    pub fn tensor(&mut self, shape: &[usize], values: &[f32]) -> &mut Self {
        let mut strides = vec![1; shape.len()];
        for place in (1..shape.len()).rev() {
            strides[place - 1] = strides[place] * shape[place];
        }
        self.global("torch._utils", "_rebuild_tensor_v2").raw(b"(");
        self.storage(values).int(0).ints(shape).ints(&strides);
        self.raw(b"\x89")
            .global("collections", "OrderedDict")
            .raw(b")RtR")
    }

    /// A dictionary, whose keys and values `fill` writes.
    pub fn dict(&mut self, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.raw(b"}(");
        fill(self);
        self.raw(b"u")
    }

    /// The tensors of the fixtures' model under a prefix, their values all `value`.
    pub fn model(&mut self, prefix: &str, value: f32) -> &mut Self {
        for (name, shape) in super::SHAPES {
            let values = vec![value; shape.iter().product()];
            self.text(&format!("{prefix}{name}")).tensor(shape, &values);
        }
        self
    }

    /// An optimizer's state of one tensor.
    pub fn optimizer(&mut self) -> &mut Self {
        self.dict(|p| {
            p.text("state").dict(|p| {
                p.int(0).dict(|p| {
                    p.text("exp_avg").tensor(&[2], &[0.0; 2]);
                });
            });
            p.text("param_groups").raw(b"]");
        })
    }

    /// The file as `torch.save` writes it.
    pub fn zip(&mut self) -> Vec<u8> {
        self.zipped(zip::CompressionMethod::Stored)
    }

    pub fn zipped(&mut self, compression: zip::CompressionMethod) -> Vec<u8> {
        self.raw(b".");
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(compression);
        let mut entry = |name: &str, bytes: &[u8]| {
            zip.start_file(name, options).unwrap();
            zip.write_all(bytes).unwrap();
        };
        entry("archive/data.pkl", &self.bytes);
        let order = if self.is_big_endian { "big" } else { "little" };
        entry("archive/byteorder", order.as_bytes());
        for (key, bytes) in self.storages.iter().enumerate() {
            entry(&format!("archive/data/{key}"), bytes);
        }
        zip.finish().unwrap().into_inner()
    }
}

/// A safetensors file of tensors, each by name, element type, shape and bytes.
pub fn safetensors(tensors: &[(&str, &str, &[usize], Vec<u8>)]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, dtype, shape, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        data.extend(bytes);
        header.insert(
            (*name).to_owned(),
            serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}),
        );
    }
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}
