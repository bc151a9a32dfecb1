//! What runs the model: a choice that is kept, or no start.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use ort::ep::{self, ExecutionProvider as _, ExecutionProviderDispatch};

/// What a person asks for with `--device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device if the model runs there, else the CPU. The command says which.
    #[default]
    Auto,
    Is(Device),
}

/// What really runs the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    Cpu,
    Cuda(u32),
    TensorRt(u32),
    OpenVino,
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let unknown = || format!("no device {given}; there are auto, cpu, cuda[:N], tensorrt[:N], openvino");
        let (name, index) = match given.split_once(':') {
            Some((name, index)) => (name, Some(index.parse::<u32>().map_err(|_| unknown())?)),
            None => (given, None),
        };
        match (name, index) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Is(Device::Cpu)),
            ("cuda", index) => Ok(Self::Is(Device::Cuda(index.unwrap_or(0)))),
            ("tensorrt", index) => Ok(Self::Is(Device::TensorRt(index.unwrap_or(0)))),
            ("openvino", None) => Ok(Self::Is(Device::OpenVino)),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::TensorRt(index) => write!(f, "tensorrt:{index}"),
            Self::OpenVino => f.write_str("openvino"),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Is(device) => device.fmt(f),
        }
    }
}

impl Device {
    /// The execution provider, registered so that it fails aloud; none for the CPU, which is always there.
    /// `engines` is where TensorRT keeps what it built.
    pub(crate) fn execution_provider(self, engines: Option<&Path>) -> Option<ExecutionProviderDispatch> {
        let provider = match self {
            Self::Cpu => return None,
            Self::Cuda(index) => ep::CUDA::default().with_device_id(signed(index)).build(),
            Self::TensorRt(index) => {
                let provider = ep::TensorRT::default().with_device_id(signed(index));
                match engines.map(Path::to_string_lossy) {
                    None => provider.build(),
                    Some(engines) => provider
                        .with_engine_cache(true)
                        .with_engine_cache_path(&engines)
                        .with_timing_cache(true)
                        .with_timing_cache_path(&engines)
                        .build(),
                }
            }
            Self::OpenVino => ep::OpenVINO::default().build(),
        };
        Some(provider.error_on_failure())
    }

    /// Whether the loaded ONNX Runtime was built with what this device needs.
    pub(crate) fn is_built_in(self) -> bool {
        match self {
            Self::Cpu => true,
            Self::Cuda(_) => ep::CUDA::is_available().unwrap_or(false),
            Self::TensorRt(_) => ep::TensorRT::is_available().unwrap_or(false),
            Self::OpenVino => ep::OpenVINO::is_available().unwrap_or(false),
        }
    }

    /// The package that brings it, for the sentence that refuses.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Cpu => "onnxruntime",
            Self::Cuda(_) | Self::TensorRt(_) => "onnxruntime-gpu",
            Self::OpenVino => "onnxruntime-openvino",
        }
    }
}

fn signed(index: u32) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3", "tensorrt:1", "openvino"] {
            assert_eq!(name.parse::<DeviceChoice>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Is(Device::Cuda(0)));
        for wrong in ["gpu", "cuda:x", "cpu:1", ""] {
            assert!(wrong.parse::<DeviceChoice>().unwrap_err().contains("tensorrt"), "{wrong}");
        }
    }
}
