// Exports of the real window, hidden: pictures and reports are written, read back with libpng, and compared with engine values.

#include "core/errors.h"
#include "state/provenance.h"
#include "view/map_tiling.h"
#include "window/app.h"

#include <imgui_internal.h>
#include <png.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace convscope {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

std::string contents(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

struct Decoded {
  Picture picture;
  std::map<std::string, std::string> texts;
};

/// Reads a PNG with libpng's sequential reader, text chunks included. Any error of libpng ends the test program.
Decoded decode(const std::string& bytes) {
  png_structp reader = png_create_read_struct(
      PNG_LIBPNG_VER_STRING, nullptr, [](png_structp, png_const_charp problem) { throw std::runtime_error(problem); },
      [](png_structp, png_const_charp problem) { throw std::runtime_error(problem); });
  png_infop info = png_create_info_struct(reader);
  std::pair<const std::string*, std::size_t> source{&bytes, 0};
  png_set_read_fn(reader, &source, [](png_structp self, png_bytep target, std::size_t count) {
    auto& [all, at] = *static_cast<std::pair<const std::string*, std::size_t>*>(png_get_io_ptr(self));
    if (all->size() - at < count) png_error(self, "too short");
    std::copy_n(all->data() + at, count, target);
    at += count;
  });
  png_read_png(reader, info, PNG_TRANSFORM_IDENTITY, nullptr);
  Decoded decoded;
  decoded.picture.width = static_cast<int>(png_get_image_width(reader, info));
  decoded.picture.height = static_cast<int>(png_get_image_height(reader, info));
  EXPECT_EQ(png_get_color_type(reader, info), PNG_COLOR_TYPE_RGB);
  EXPECT_EQ(png_get_bit_depth(reader, info), 8);
  png_bytepp rows = png_get_rows(reader, info);
  for (int y = 0; y < decoded.picture.height; ++y)
    decoded.picture.rgb.insert(decoded.picture.rgb.end(), rows[y], rows[y] + std::ptrdiff_t{3} * decoded.picture.width);
  png_textp texts = nullptr;
  const int count = png_get_text(reader, info, &texts, nullptr);
  for (int i = 0; i < count; ++i) decoded.texts[texts[i].key] = texts[i].text;
  png_destroy_read_struct(&reader, &info, nullptr);
  return decoded;
}

int difference(const std::uint8_t* pixel, Rgb colour) {
  const auto byte = [](float part) { return static_cast<int>(std::lround(part * 255.0F)); };
  return std::max(
      {std::abs(pixel[0] - byte(colour.r)), std::abs(pixel[1] - byte(colour.g)), std::abs(pixel[2] - byte(colour.b))});
}

class ExportWindowTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    app_ = std::make_unique<App>(AppOptions{.window = {}, .width = 1000, .height = 700, .visible = false, .settings_file = {}});
    settle();
  }
  void TearDown() override {
    app_.reset();
    fs::permissions(folder_, fs::perms::owner_all);
    fs::remove_all(folder_);
  }

  void settle() {
    const auto deadline = std::chrono::steady_clock::now() + 120s;
    do {
      app_->frame();
      app_->step(0.02);
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "the window did not come to rest";
    } while (!app_->settled());
    app_->frame();
    app_->frame();
  }

  void open_planted(Index n, Index shown) {
    app_->session().plant({.n = n, .d = 16, .k = 3, .T = 4, .seed = 3});
    settle();
    AnalysisRequest wish = app_->session().wanted();
    wish.n = shown;
    app_->session().want(wish);
    settle();
    ASSERT_EQ(analysis().n, shown);
  }

  void export_now(const ExportWish& wish) {
    ASSERT_TRUE(app_->start_export(wish));
    EXPECT_FALSE(app_->start_export(wish)) << "one at a time";
    settle();
    ASSERT_FALSE(app_->session().failure()) << app_->session().failure()->text;
    EXPECT_THAT(app_->session().notice(), testing::HasSubstr(wish.path.filename().string()));
  }
  const convbasis::HeadAnalysis<float>& analysis() { return *app_->session().result().analysis; }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder_)) found.push_back(entry.path().filename().string());
    return found;
  }

  fs::path folder_ = fs::path(testing::TempDir()) / "convscope_export_window_test";
  std::unique_ptr<App> app_;
};

/// Where the map lies in a picture.
struct Square {
  int x = 0, y = 0, side = 0;
};

/// The first place where corners of cells have the colours they should have: as neighbouring cells differ, only the right one
/// does.
std::optional<Square> find_map(const Picture& picture, int cells, int cell, const std::function<Rgb(int, int)>& colour_of_cell) {
  const auto fits_at = [&](int x, int y) {
    for (int i = 0; i < cells; ++i) {
      const int j = i * 5 % (i + 1);
      for (const int corner : {0, cell - 1}) {
        const std::uint8_t* pixel = picture.pixel(x + j * cell + corner, y + i * cell + corner);
        if (difference(pixel, colour_of_cell(i, j)) > 3) return false;
      }
    }
    return true;
  };
  const int side = cells * cell;
  for (int y = 0; y + side <= picture.height; ++y) {
    for (int x = 0; x + side <= picture.width; ++x) {
      if (fits_at(x, y)) return Square{x, y, side};
    }
  }
  return std::nullopt;
}

TEST_F(ExportWindowTest, MapPicturesHaveTheColoursOfTheirCells) {
  // 32 cells a side: one cell is 16 pixels at scale 1, and its middle is far from its edges.
  open_planted(64, 32);
  const MapView& view = app_->view();
  const ColourTable table = colour_table(view.colour_map);
  const auto expected = [&](int row, int column) {
    const double value = convbasis::map_cell(analysis(), row, column).exact_probability;
    return colour_at(table, view.value_scale().position(value));
  };
  for (const bool dark : {false, true}) {
    for (const int scale : {1, 2, 4}) {
      SCOPED_TRACE(scale);
      const ExportWish wish{.item = ExportItem::exact_map, .scale = scale, .dark = dark, .path = folder_ / "map.png"};
      export_now(wish);
      const Decoded decoded = decode(contents(wish.path));
      const Picture& picture = decoded.picture;
      EXPECT_EQ(picture.width % scale, 0);
      EXPECT_GT(picture.width, 512 * scale);
      EXPECT_GT(picture.height, 512 * scale);
      EXPECT_LT(picture.height, 800 * scale);
      const auto place = find_map(picture, 32, 16 * scale, expected);
      ASSERT_TRUE(place) << "the map was not found in the picture";
      EXPECT_EQ(picture.pixel(0, 0)[0] < 128, dark);
      const std::uint8_t* masked = picture.pixel(place->x + place->side * 5 / 6, place->y + place->side / 6);
      EXPECT_EQ(masked[0] < 128, dark);
      const int middle = 8 * scale;
      for (int i = 0; i < 32; ++i) {
        for (int j = 0; j <= i; ++j) {
          const std::uint8_t* pixel = picture.pixel(place->x + 2 * j * middle + middle, place->y + 2 * i * middle + middle);
          ASSERT_LE(difference(pixel, expected(i, j)), 3) << "cell " << i << ", " << j;
        }
      }
    }
  }
}

TEST_F(ExportWindowTest, PicturesSayWhereTheyComeFrom) {
  const ExportWish wish{.item = ExportItem::three_maps, .scale = 1, .path = folder_ / "maps.png"};
  export_now(wish);
  const Decoded decoded = decode(contents(wish.path));
  EXPECT_EQ(decoded.texts.at("Description"), provenance_line(provenance_of(app_->session().result())));
  EXPECT_THAT(decoded.texts.at("Software"), testing::StartsWith("convscope "));
  EXPECT_GT(decoded.picture.width, 3 * 512);
}

TEST_F(ExportWindowTest, PlotsAreDrawn) {
  for (const ExportItem item : {ExportItem::basis_plot, ExportItem::error_plot}) {
    const ExportWish wish{.item = item, .scale = 2, .path = folder_ / "plot.png"};
    export_now(wish);
    const Picture picture = decode(contents(wish.path)).picture;
    EXPECT_GT(picture.width, 1400);
    std::set<std::uint32_t> colours;
    for (std::size_t i = 0; i < picture.rgb.size(); i += 3)
      colours.insert(std::uint32_t{picture.rgb[i]} << 16U | std::uint32_t{picture.rgb[i + 1]} << 8U | picture.rgb[i + 2]);
    EXPECT_GT(colours.size(), 100U) << name_of(item);
  }
}

TEST_F(ExportWindowTest, TheWindowLooksTheSameDuringAndAfterAnExport) {
  // A message moves the panels; where they come to rest after one can differ by a pixel from where they first were.
  app_->session().note("message");
  settle();
  app_->session().dismiss();
  settle();
  const Picture before = app_->grab();
  const ImGuiContext* imgui = ImGui::GetCurrentContext();
  export_now({.item = ExportItem::basis_plot, .scale = 2, .path = folder_ / "plot.png"});
  EXPECT_EQ(ImGui::GetCurrentContext(), imgui);
  app_->session().dismiss();
  settle();
  EXPECT_TRUE(app_->grab().rgb == before.rgb);
}

TEST_F(ExportWindowTest, TheReportHoldsItsPictures) {
  const ExportWish wish{.item = ExportItem::report, .format = ExportFormat::html, .scale = 1, .path = folder_ / "head.html"};
  export_now(wish);
  const std::string page = contents(wish.path);
  EXPECT_THAT(page, testing::HasSubstr("<h1>smollm2-135m"));
  const std::string begin = "data:image/png;base64,";
  int pictures = 0;
  for (auto at = page.find(begin); at != std::string::npos; at = page.find(begin, at + 1), ++pictures) {
    const auto end = page.find('"', at);
    const std::string text = page.substr(at + begin.size(), end - at - begin.size());
    std::string bytes;
    std::uint32_t group = 0;
    int bits = 0;
    for (const char c : text) {
      if (c == '=') break;
      const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
      group = group << 6U | static_cast<std::uint32_t>(std::strchr(digits, c) - digits);
      bits += 6;
      if (bits < 8) continue;
      bits -= 8;
      bytes += static_cast<char>(group >> static_cast<unsigned>(bits) & 255U);
    }
    EXPECT_GT(decode(bytes).picture.width, 700);
  }
  EXPECT_EQ(pictures, 6);  // maps, basis, errors; light and dark
}

TEST_F(ExportWindowTest, ValuesAreWrittenInTheBackground) {
  const std::map<ExportItem, ExportFormat> wishes{
      {ExportItem::map_values, ExportFormat::npy}, {ExportItem::lag_vectors, ExportFormat::csv},
      {ExportItem::starts, ExportFormat::csv},     {ExportItem::row_errors, ExportFormat::csv},
      {ExportItem::output, ExportFormat::npy},     {ExportItem::exact_output, ExportFormat::npy}};
  for (const auto& [item, format] : wishes) {
    export_now({.item = item, .format = format, .path = folder_ / (std::string(name_of(item)) + "." + name_of(format))});
  }
  EXPECT_EQ(names().size(), wishes.size());
  const std::string output = contents(folder_ / "exact output.npy");
  const auto& exact = analysis().exact->output;
  const auto bytes = static_cast<std::size_t>(exact.size()) * sizeof(float);
  ASSERT_GT(output.size(), bytes);
  EXPECT_EQ(output.substr(output.size() - bytes), std::string(reinterpret_cast<const char*>(exact.data()), bytes));
}

TEST_F(ExportWindowTest, AFolderThatCannotBeWrittenIsTold) {
  ASSERT_TRUE(app_->start_export({.item = ExportItem::exact_map, .path = folder_ / "none" / "map.png"}));
  settle();
  ASSERT_TRUE(app_->session().failure());
  EXPECT_THAT(app_->session().failure()->text, testing::HasSubstr("none/map.png: cannot be written"));
  EXPECT_TRUE(names().empty());
}

TEST_F(ExportWindowTest, LowRankIsExportedAsWhatItIs) {
  open_planted(200, 200);
  const auto choose = [&](convbasis::RankKind kind) {
    AnalysisRequest wish = app_->session().wanted();
    wish.method = Method::rank;
    wish.rank_kind = kind;
    wish.k = 3;
    app_->session().want(wish);
    settle();
  };
  const ExportWish factors{.item = ExportItem::lag_vectors, .format = ExportFormat::csv, .path = folder_ / "factors.csv"};
  choose(convbasis::RankKind::svd);
  export_now(factors);
  EXPECT_THAT(contents(factors.path), testing::HasSubstr("row,u_1,u_2,u_3,v_1,v_2,v_3\n"));
  export_now({.item = ExportItem::basis_plot, .scale = 1, .path = folder_ / "svd.png"});
  choose(convbasis::RankKind::features);
  export_now({.item = ExportItem::basis_plot, .scale = 1, .path = folder_ / "features.png"});
  export_now({.item = ExportItem::report, .format = ExportFormat::html, .scale = 1, .path = folder_ / "head.html"});
  EXPECT_THAT(contents(folder_ / "head.html"), testing::HasSubstr("rank, polynomial features"));
  EXPECT_NE(contents(folder_ / "svd.png"), contents(folder_ / "features.png"));
  // What is not there is refused, not written empty.
  for (const ExportItem item : {ExportItem::lag_vectors, ExportItem::starts}) {
    ASSERT_TRUE(app_->start_export({.item = item, .format = ExportFormat::csv, .path = folder_ / "none.csv"}));
    settle();
    ASSERT_TRUE(app_->session().failure());
    app_->session().dismiss();
  }
  EXPECT_FALSE(fs::exists(folder_ / "none.csv"));
}

TEST_F(ExportWindowTest, TheDialogOpensByKeysAndClosesByEscape) {
  const auto press = [&](std::initializer_list<ImGuiKey> keys) {
    for (const bool down : {true, false}) {
      for (const ImGuiKey key : keys) ImGui::GetIO().AddKeyEvent(key, down);
      app_->frame();
      app_->frame();
    }
  };
  press({ImGuiMod_Ctrl, ImGuiMod_Shift, ImGuiKey_E});
  const ImGuiWindow* dialog = ImGui::FindWindowByName("Export");
  ASSERT_TRUE(dialog);
  EXPECT_TRUE(dialog->Active);
  press({ImGuiKey_Escape});
  EXPECT_FALSE(dialog->Active);
}

TEST_F(ExportWindowTest, TheCommandIsCopied) {
  Exporter exporter([] {});
  const auto actions = exporter.actions(app_->session(), [] { return true; });
  const auto action = std::ranges::find(actions, "Copy the command", &Action::name);
  ASSERT_NE(action, actions.end());
  action->run();
  EXPECT_EQ(ImGui::GetClipboardText(), reproducing_command(provenance_of(app_->session().result())));
}

TEST_F(ExportWindowTest, NoStepHoldsUpTheWindow) {
  const auto median_frame = [&](const std::function<bool(std::size_t)>& more) {
    std::vector<double> frames;
    while (more(frames.size())) {
      const auto start = std::chrono::steady_clock::now();
      app_->frame();
      frames.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    std::ranges::sort(frames);
    return frames[frames.size() / 2];
  };
  // Beside a frame that draws the window only, so that other work on the machine weighs on both.
  const double usual = median_frame([](std::size_t drawn) { return drawn < 30; });
  ASSERT_TRUE(app_->start_export({.item = ExportItem::three_maps, .scale = 4, .path = folder_ / "maps.png"}));
  const double exporting = median_frame([&](std::size_t) { return app_->exporter().busy(); });
  RecordProperty("usual_ms", std::to_string(1e3 * usual));
  RecordProperty("exporting_ms", std::to_string(1e3 * exporting));
  EXPECT_LT(exporting, 3.0 * usual + 0.03);
  EXPECT_FALSE(app_->session().failure());
}

TEST_F(ExportWindowTest, EndsInTheMiddleOfAnExport) {
  ASSERT_TRUE(app_->start_export({.item = ExportItem::three_maps, .scale = 4, .path = folder_ / "maps.png"}));
  for (int i = 0; i < 10; ++i) app_->frame();
  app_.reset();
  EXPECT_TRUE(names().empty());
}

}  // namespace
}  // namespace convscope
