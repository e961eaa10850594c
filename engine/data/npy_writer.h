/// \file
/// Writing results: npy files and text, never half-written (temporary file in the same folder, then renamed).
#pragma once

#include "core/types.h"

#include <filesystem>
#include <string_view>

namespace convbasis {

/// Writes a C-order npy (version 1.0, little-endian, '<f4' or '<f8'). Throws FileError; the target is then untouched.
template <Real T>
void write_npy(const std::filesystem::path& path, MatrixView<T> matrix);

/// Replaces the file by `contents` in one step. Throws FileError; the target is then untouched.
void write_file_atomically(const std::filesystem::path& path, std::string_view contents);

}  // namespace convbasis
