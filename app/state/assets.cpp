#include "state/assets.h"

#include <cstdlib>
#include <vector>

namespace convscope {

namespace fs = std::filesystem;

std::optional<fs::path> find_asset(std::string_view name) {
  std::vector<fs::path> folders;
  if (const char* folder = std::getenv("CONVSCOPE_ASSETS")) folders.emplace_back(folder);
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  if (!program.empty()) folders.push_back(program.parent_path() / ".." / "share" / "convscope" / "assets");
  folders.emplace_back(CONVSCOPE_SOURCE_ASSETS);
  for (const fs::path& folder : folders) {
    const fs::path path = (folder / name).lexically_normal();
    if (fs::is_regular_file(path, ignored)) return path;
  }
  return std::nullopt;
}

}  // namespace convscope
