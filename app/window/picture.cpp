#include "window/picture.h"

#include "core/errors.h"
#include "data/npy_writer.h"
#include "gl/gl.h"

#include <png.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace convscope {

Picture read_framebuffer(int width, int height) {
  Picture picture{.width = width, .height = height, .rgb = {}};
  const std::size_t line = 3 * static_cast<std::size_t>(width);
  std::vector<std::uint8_t> from_below(line * static_cast<std::size_t>(height));
  glPixelStorei(GL_PACK_ALIGNMENT, 1);
  glReadPixels(0, 0, width, height, GL_RGB, GL_UNSIGNED_BYTE, from_below.data());
  picture.rgb.reserve(from_below.size());
  for (int y = height - 1; y >= 0; --y) {
    const auto first = from_below.begin() + static_cast<std::ptrdiff_t>(line) * y;
    picture.rgb.insert(picture.rgb.end(), first, first + static_cast<std::ptrdiff_t>(line));
  }
  return picture;
}

void write_png(const std::filesystem::path& path, const Picture& picture) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width);
  image.height = static_cast<png_uint_32>(picture.height);
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string bytes(size, '\0');
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, picture.rgb.data(), 0, nullptr) == 0) {
    throw convbasis::FileError(path.string(), std::string("the PNG cannot be made: ") + image.message);
  }
  convbasis::write_file_atomically(path, std::string_view(bytes).substr(0, size));
}

}  // namespace convscope
