#include "state/user_file.h"

#include "core/errors.h"
#include "data/npy_writer.h"

#include <fstream>
#include <iterator>

namespace convscope {

namespace fs = std::filesystem;

std::optional<std::string> read_user_file(const fs::path& path, std::uintmax_t largest) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return std::nullopt;
  const std::uintmax_t size = fs::file_size(path, error);
  if (error || size > largest) return std::nullopt;
  std::ifstream stream(path, std::ios::binary);
  std::string text(static_cast<std::size_t>(size), '\0');
  // A file that grows while it is read is cut where it ended before.
  stream.read(text.data(), static_cast<std::streamsize>(size));
  if (stream.bad() || static_cast<std::uintmax_t>(stream.gcount()) != size) return std::nullopt;
  return text;
}

std::string keep_aside(const fs::path& path) {
  const fs::path aside = path.string() + ".broken";
  std::error_code error;
  fs::rename(path, aside, error);
  return error ? "it could not be moved aside" : "it was kept as " + aside.filename().string();
}

void write_user_file(const fs::path& path, std::string_view text) {
  std::error_code error;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  if (error) throw convbasis::FileError(path.parent_path().string(), "the folder cannot be made: " + error.message());
  convbasis::write_file_atomically(path, text);
}

}  // namespace convscope
