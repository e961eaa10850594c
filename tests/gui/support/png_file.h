/// \file
/// Reading a PNG back, for comparison with what was drawn.
#pragma once

#include "window/picture.h"

#include <png.h>

#include <filesystem>
#include <optional>

namespace convscope {

/// The picture as 8-bit RGB, or nothing when there is no such file or it is no PNG.
inline std::optional<Picture> read_png(const std::filesystem::path& path) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_file(&image, path.string().c_str()) == 0) return std::nullopt;
  image.format = PNG_FORMAT_RGB;
  Picture picture{static_cast<int>(image.width), static_cast<int>(image.height), {}};
  picture.rgb.resize(PNG_IMAGE_SIZE(image));
  if (png_image_finish_read(&image, nullptr, picture.rgb.data(), 0, nullptr) == 0) return std::nullopt;
  return picture;
}

}  // namespace convscope
