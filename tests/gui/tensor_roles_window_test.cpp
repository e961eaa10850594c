// The dialog that asks who is query, key and value, in the real window, hidden.

#include "gui/window_fixture.h"

#include "support/tensor_bytes.h"

#include <gmock/gmock.h>

#include <random>

namespace convscope {
namespace {

using convbasis::test::TensorBytes;

class TensorRolesWindow : public WindowTest {
 protected:
  static TensorBytes random_tensor(const std::string& name, const std::vector<std::int64_t>& shape) {
    std::mt19937_64 random(7);
    std::normal_distribution<float> normal;
    std::int64_t count = 1;
    for (const auto extent : shape) count *= extent;
    std::vector<float> numbers(static_cast<std::size_t>(count));
    for (float& number : numbers) number = normal(random);
    return {name, "F32", shape, convbasis::test::bytes_of_numbers(numbers)};
  }
  /// Two layers of tensors whose names say nothing.
  std::filesystem::path nameless() {
    std::vector<TensorBytes> tensors;
    for (const std::string prefix : {"block.0.", "block.1."}) {
      tensors.push_back(random_tensor(prefix + "alpha", {4, 64, 8}));
      tensors.push_back(random_tensor(prefix + "beta", {2, 64, 8}));
      tensors.push_back(random_tensor(prefix + "gamma", {2, 64, 8}));
    }
    return folder_.write("nameless.safetensors", convbasis::test::safetensors_bytes(tensors));
  }
  static FilesRecipe with_names(std::filesystem::path path) {
    FilesRecipe files{{std::move(path)}};
    files.hints.query_name = "block.{L}.alpha";
    files.hints.key_name = "block.{L}.beta";
    files.hints.value_name = "block.{L}.gamma";
    return files;
  }
  const Banner* failure() {
    const auto& banners = app_->messages().banners();
    const auto found = std::ranges::find(banners, "failure", &Banner::key);
    return found == banners.end() ? nullptr : &*found;
  }

  convbasis::test::TemporaryFolder folder_;
};

TEST_F(TensorRolesWindow, FilesWithoutHeadsAreOfferedToBeReadOtherwise) {
  const auto path = nameless();
  app_->open({path});
  settle();
  ASSERT_NE(failure(), nullptr);
  EXPECT_EQ(failure()->offer, "Tensors…");
  keep_picture("roles_banner");
  ASSERT_TRUE(app_->actions().run("file.tensors"));
  settle();
  EXPECT_TRUE(is_shown(TensorRolesDialog::window_name));
  ASSERT_NE(app_->roles().listing(), nullptr);
  EXPECT_EQ(app_->roles().listing()->recipe.paths, std::vector{path}) << "not the example, which is still shown";
  EXPECT_EQ(app_->roles().listing()->tensors.size(), 6U);
  EXPECT_THAT(app_->roles().listing()->why_not, testing::HasSubstr("no query, key and value"));
  keep_picture("roles_nothing_found");
  press_keys({ImGuiKey_Escape});
  EXPECT_FALSE(is_shown(TensorRolesDialog::window_name));
}

TEST_F(TensorRolesWindow, ShowsTheExampleAndAPlantedInputHasNoTensors) {
  ASSERT_TRUE(app_->actions().run("file.tensors"));
  settle();
  ASSERT_NE(app_->roles().listing(), nullptr);
  EXPECT_EQ(found_name(*app_->roles().listing(), TensorRole::query), "layers.{L}.q");
  keep_picture("roles_example");
  press_keys({ImGuiKey_Escape});
  session().plant({.n = 64, .d = 8, .k = 2, .T = 4});
  settle();
  EXPECT_FALSE(app_->actions().find("file.tensors")->is_enabled());
}

TEST_F(TensorRolesWindow, FilesOpenedWithNamesAreSavedAndRestoredWithThem) {
  const FilesRecipe files = with_names(nameless());
  app_->open_as(files, {.layer = 1, .head = 3});
  settle();
  ASSERT_FALSE(session().failure()) << session().failure()->text;
  EXPECT_EQ(failure(), nullptr);
  EXPECT_EQ(analysis().n, 64);
  EXPECT_EQ(session().wanted().head, 3);
  const auto saved = folder_.path() / "s.convscope.json";
  app_->save_session_as(saved);
  session().open_example();
  settle();
  app_->open({saved});
  settle();
  ASSERT_FALSE(session().failure()) << session().failure()->text;
  EXPECT_EQ(std::get<FilesRecipe>(session().source()->recipe()), files);
  EXPECT_EQ(session().wanted().layer, 1);
}

TEST_F(TensorRolesWindow, TheCommandLineNamesThemToo) {
  const FilesRecipe files = with_names(nameless());
  WindowOptions options;
  options.files = files.paths;
  options.hints = files.hints;
  open(options);
  ASSERT_TRUE(session().source());
  EXPECT_EQ(std::get<FilesRecipe>(session().source()->recipe()), files);
}

}  // namespace
}  // namespace convscope
