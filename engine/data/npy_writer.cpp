#include "data/npy_writer.h"

#include "core/errors.h"

#include <fmt/format.h>

#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <utility>

#ifdef _WIN32
#include <io.h>
#else
#include <unistd.h>
#endif

namespace convbasis {
namespace {

static_assert(std::endian::native == std::endian::little, "npy files are written as the numbers lie in memory");

/// Standard C++ cannot ask for this: without it a crash of the machine can leave an empty file behind the rename.
bool flush_to_disk(std::FILE* file) {
#ifdef _WIN32
  return std::fflush(file) == 0 && ::_commit(::_fileno(file)) == 0;
#else
  return std::fflush(file) == 0 && ::fsync(::fileno(file)) == 0;
#endif
}

/// A new file beside `target` that takes its place on commit(), and is removed otherwise.
class ReplacementFile {
 public:
  explicit ReplacementFile(const std::filesystem::path& target) : target_(target) {
    std::error_code error;
    if (std::filesystem::is_symlink(target_, error)) target_ = std::filesystem::weakly_canonical(target_, error);
    const std::filesystem::file_status status = std::filesystem::status(target_, error);
    if (std::filesystem::is_directory(status))
      throw FileError(target.string(), "is a directory; give the path of a file to write");
    // Renaming over a device such as /dev/null would replace the device.
    if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
      throw FileError(target.string(), "is not a regular file, so it cannot be replaced");
    }
    temporary_ = target_;
    temporary_ += fmt::format(".{:08x}.tmp", std::random_device{}());
    file_ = std::fopen(temporary_.string().c_str(), "wbx");
    if (file_ == nullptr) fail("cannot be written");
  }
  ReplacementFile(const ReplacementFile&) = delete;
  ReplacementFile& operator=(const ReplacementFile&) = delete;
  ~ReplacementFile() {
    if (file_ != nullptr) std::fclose(file_);
    std::error_code ignored;
    if (!committed_) std::filesystem::remove(temporary_, ignored);
  }

  void write(const void* bytes, std::size_t count) {
    if (std::fwrite(bytes, 1, count, file_) != count) fail("cannot be written");
  }

  void commit() {
    if (!flush_to_disk(file_)) fail("cannot be written");
    const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;
    if (!closed) fail("cannot be written");
    std::error_code error;
    std::filesystem::rename(temporary_, target_, error);
    if (error) throw FileError(target_.string(), "cannot be replaced: " + error.message());
    committed_ = true;
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw FileError(target_.string(), fmt::format("{}: {}", what, std::strerror(errno)));
  }

  std::filesystem::path target_, temporary_;
  std::FILE* file_ = nullptr;
  bool committed_ = false;
};

}  // namespace

template <Real T>
void write_npy(const std::filesystem::path& path, MatrixView<T> matrix) {
  std::string header =
      fmt::format("{{'descr': '<f{}', 'fortran_order': False, 'shape': ({}, {}), }}", sizeof(T), matrix.rows(), matrix.cols());
  // Magic, version and length take 10 bytes; the format wants the data on a multiple of 64, and a newline before them.
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  ReplacementFile file(path);
  const auto length = static_cast<std::uint16_t>(header.size());
  file.write("\x93NUMPY\x01\x00", 8);
  file.write(&length, sizeof(length));
  file.write(header.data(), header.size());
  for (Index i = 0; i < matrix.rows(); ++i) {
    file.write(matrix.data() + i * matrix.outerStride(), static_cast<std::size_t>(matrix.cols()) * sizeof(T));
  }
  file.commit();
}

void write_file_atomically(const std::filesystem::path& path, std::string_view contents) {
  ReplacementFile file(path);
  file.write(contents.data(), contents.size());
  file.commit();
}

template void write_npy(const std::filesystem::path&, MatrixView<float>);
template void write_npy(const std::filesystem::path&, MatrixView<double>);

}  // namespace convbasis
