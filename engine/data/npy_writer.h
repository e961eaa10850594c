/// \file
/// Writing results: npy files and text, never half-written (temporary file in the same folder, then renamed).
#pragma once

#include "core/run_context.h"
#include "core/types.h"

#include <filesystem>
#include <memory>
#include <string_view>

namespace convbasis {

/// Writes a C-order npy (version 1.0, little-endian, '<f4' or '<f8'). Throws FileError; the target is then untouched.
template <Real T>
void write_npy(const std::filesystem::path& path, MatrixView<T> matrix);

/// Writes a matrix that never stands in memory as a whole, by blocks of columns from left to right, as a npy in column-major
/// order (version 1.0, little-endian, fortran_order True; readers show it as the same rows x columns array). Not thread-safe.
template <Real T>
class NpyColumnWriter {
 public:
  /// Makes the temporary file. Throws FileError when the target cannot be written, or when the disk has not the room.
  NpyColumnWriter(const std::filesystem::path& path, Index rows, Index columns);
  /// Without commit() the target stays untouched and the temporary file is removed.
  ~NpyColumnWriter();
  NpyColumnWriter(NpyColumnWriter&&) noexcept;
  NpyColumnWriter& operator=(NpyColumnWriter&&) noexcept;

  /// The file that is being written.
  const std::filesystem::path& temporary() const;
  /// The next columns; rows may lie apart. The disk takes them while the caller goes on; the next call waits for it. Takes memory
  /// for 64 bytes of each row. Throws InvalidArgument when the shape does not fit or the columns are more than were announced,
  /// FileError, Cancelled (then only destruction is left).
  void append(MatrixView<T> block, const RunContext& context = {});
  /// Waits until the disk has everything: commit() is then quick. Throws FileError.
  void flush();
  /// Puts the file in place. Throws FileError, InvalidArgument when columns are missing; the target is then untouched.
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Replaces the file by `contents` in one step. Throws FileError; the target is then untouched.
void write_file_atomically(const std::filesystem::path& path, std::string_view contents);

}  // namespace convbasis
