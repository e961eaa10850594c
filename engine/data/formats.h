/// \file
/// The readers behind open_tensor_file(): for each format, how it is recognised and how its header is read.
#pragma once

#include "data/tensor_file.h"

#include <string_view>

namespace convbasis {

/// Header of 8 bytes for its length and a JSON object, then the data without holes or overlaps up to the end of the file.
bool looks_like_safetensors(std::string_view first_bytes);
/// Throws FileError for every rule of the format that is broken.
TensorIndex read_safetensors_header(const FileReader& file);

/// Magic, version, a Python dict literal, then one array up to the end of the file. The tensor's name is the file's stem.
bool looks_like_npy(std::string_view first_bytes);
/// Throws FileError for every rule of the format that is broken, and for dtypes that are no plain numbers.
TensorIndex read_npy_header(const FileReader& file);

}  // namespace convbasis
